"""Batch jobs: the same work on one machine or on many, in parts that can be killed, resumed and checked."""
