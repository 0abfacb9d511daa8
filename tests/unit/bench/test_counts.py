"""The benchmark's books: what counts as a write, and whether a budget is met."""

from __future__ import annotations

from collections import Counter

from bench.counts import parse_server_writes, parse_writes, since
from bench.machine import TICKS_PER_SECOND, parse_usage
from bench.page import Section, Table, verdict

WORKER_PAGE = """\
# TYPE kaito_api_requests_total counter
kaito_api_requests_total{resource="workspaces",verb="patch"} 3.0
kaito_api_requests_total{verb="create",resource="pods"} 1.0
kaito_api_requests_total{resource="workspaces",verb="get"} 9.0
kaito_api_requests_total{resource="leases",verb="update"} 44.0
"""
SERVER_PAGE = """\
apiserver_request_total{code="200",resource="workspaces",subresource="status",verb="PATCH"} 2
apiserver_request_total{code="200",resource="workspaces",subresource="",verb="PATCH"} 1
apiserver_request_total{code="201",resource="nodeclaims",subresource="",verb="POST"} 1
apiserver_request_total{code="201",resource="pods",subresource="",verb="POST"} 7
"""


def test_reads_and_the_lease_are_no_writes_of_a_workspace() -> None:
    assert parse_writes(WORKER_PAGE) == Counter({"patch workspaces": 3, "create pods": 1})


def test_the_servers_count_adds_subresources_and_leaves_out_kinds_that_others_write() -> None:
    assert parse_server_writes(SERVER_PAGE) == Counter(
        {"patch workspaces": 3, "create nodeclaims": 1}
    )


def test_only_what_was_added_is_counted() -> None:
    assert since(Counter(a=3, b=1), Counter(a=1, b=1)) == Counter(a=2)


def test_a_count_on_its_budget_meets_it_and_one_above_does_not() -> None:
    assert (verdict(12, 12), verdict(13, 12)) == ("met", "NOT met")


def test_a_process_name_with_spaces_and_brackets_does_not_shift_the_fields() -> None:
    ticks = f"{2 * TICKS_PER_SECOND} {TICKS_PER_SECOND}"
    usage = parse_usage(f"7 (a) b) S 1 2 3 4 5 6 7 8 9 10 {ticks} 0", "VmHWM:\t2048 kB\n")
    assert (usage.cpu_seconds, usage.peak_mebibytes) == (3.0, 2.0)


def test_a_section_is_markdown_that_ends_without_an_empty_line() -> None:
    section = Section("Title", "Text.", (Table(("what", "s"), [("all", 1.25)]),))
    assert section.lines() == [
        "## Title", "", "Text.", "", "| what | s |", "|---|---|", "| all | 1.2 |",
    ]  # fmt: skip
