"""`engine_named`: the engine that a command line names."""

from twotower.errors import BadConfig
from twotower.jobs.engines import Engine

ENGINES = ("local", "ray")


def engine_named(
    name: str, *, workers: int = 1, threads: int | None = None, ray_address: str | None = None
) -> "Engine":
    """The engine of that name: `local` or `ray`.

    Args:
        name: which one.
        workers: processes that work side by side.
        threads: of each worker.
        ray_address: a running Ray cluster, such as `auto` or `ray://host:10001`; None starts Ray on this machine.

    Raises:
        BadConfig: there is no such engine, or Ray is not installed.
    """
    from twotower.jobs.local import LocalEngine
    from twotower.jobs.ray_engine import RayEngine

    if name == "local":
        if ray_address is not None:
            raise BadConfig(f"ray_address={ray_address} needs engine=ray")
        return LocalEngine(workers=workers, threads=threads)
    if name == "ray":
        return RayEngine(workers=workers, threads=threads, address=ray_address)
    raise BadConfig(f"engine {name!r}: choose one of {', '.join(ENGINES)}")
