"""The five calendar weeks of the simulated market: 14 to 17 for training, 18 for the test."""

DAY = 86_400
WEEK = 7 * DAY
YEAR = 365.25 * DAY
START = 1_491_177_600
"""Monday 3 April 2017, 00:00 UTC: the first second of week 14."""
N_WEEKS = 5
N_DAYS = 7 * N_WEEKS
TEST_START = START + 4 * WEEK
"""Monday 1 May 2017, 00:00 UTC: the first second of week 18."""
END = START + N_WEEKS * WEEK
