"""Figures by machine, in PromQL.

All processes of a machine report the same figures of it: they are a maximum by host. Those of our processes are added, within 15 s
alone: over a longer time, processes that followed one another would be added too. Subqueries in place of that were tried: a
dashboard of 24 hours waited for 2.6 s.
"""

from __future__ import annotations

_MOMENT = "15s"  # three readings of a process


def of_machine(metric: str, selector: str, within: str = "$__interval") -> str:
    """A figure of each machine."""
    return f"max by (host_name) (last_over_time({metric}{{{selector}}}[{within}]))"


def of_processes(metric: str, selector: str) -> str:
    """A figure of our processes, added for each machine."""
    return f"sum by (host_name) (last_over_time({metric}{{{selector}}}[{_MOMENT}]))"


def share(metric: str, whole: str, selector: str, within: str = "$__interval") -> str:
    """A figure of each machine as a part of another one."""
    return f"{of_machine(metric, selector, within)} / {of_machine(whole, selector, within)}"


def busy_cores(selector: str, within: str = "$__interval") -> str:
    """Cores of each machine that are busy, with anything."""
    utilization = of_machine("system_cpu_utilization_ratio", selector, within)
    return f"{utilization} * {of_machine('system_cpu_logical_count', selector, within)}"


def our_cores(selector: str) -> str:
    """Cores of each machine that our processes keep busy: all of them at most. Steps of a few seconds that follow one another within a
    moment are added, which would read as 3 of 2 cores."""
    ours = of_processes("glassformer_process_cpu_cores", selector)
    cores = of_machine("system_cpu_logical_count", selector, _MOMENT)
    return f"({ours} <= {cores} or {cores} and {ours})"


def other_cores(selector: str) -> str:
    """Cores of each machine that are busy with anything but the processes that report their own."""
    return f"clamp_min({busy_cores(selector, _MOMENT)} - {our_cores(selector)}, 0)"


def newest(expr: str) -> str:
    """An expression of one minute at most, at the last full minute at which it had a value."""
    return f"last_over_time(({expr})[$__range:1m])"
