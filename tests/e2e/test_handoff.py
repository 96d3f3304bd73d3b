"""Handoff under load: a new connection for every request, and none is lost, whatever the new generation does.

The short form that `make check` runs is told by traffic.py; it has wide bounds of time, for other tests run beside it.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support import children_of, descendants_of, is_alive, kill_quietly, read_status, wait_until
from traffic import BACK, DONE, EVERY_SECONDS, RATE, SECONDS, Load, Service, labels_of, rate_for, service, verdict

QUICK = ("--min-healthy", "200ms", "--stop-timeout", "30s")
# For a generation that crashes a moment after it began to serve: long before it has proved itself.
CRASHES = {"CRASH_MS": "100"}
WAYS = {"declared-c": ("c", False), "adopted-c": ("c", True), "adopted-python": ("python", True), "adopted-node": ("node", True)}
ways = pytest.mark.parametrize("way", WAYS)
both_ways = pytest.mark.parametrize("adopt", [False, True], ids=["declared", "adopted"])

# bench/handoff judges the milliseconds. This is to see a client that waits for a boot, or for the second SYN that comes after a
# second; it cannot be seen where the load itself had to wait, for other tests run beside it.
WAIT_MS_MAX = 900
STALL_MS_MAX = 100


def rotate_for(running: Service, load: Load, seconds: float) -> int:
    """Rotate every so often; return how many rotations were done."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        begin = time.monotonic()
        load.mark()
        running.await_log(DONE, running.rotate())
        load.await_generation(running.number)
        count += 1
        time.sleep(max(0.0, begin + EVERY_SECONDS - time.monotonic()))
    return count


def expect_prompt(run_once: Callable[[Path], dict], folder: Path) -> None:
    """Who has to wait for a boot does so in every run; who waits because the machine was busy with something else does not."""
    for number in range(4):
        (folder / str(number)).mkdir()
        report = run_once(folder / str(number))
        if report["stall_ms"] > STALL_MS_MAX or report["all"]["max_ms"] < WAIT_MS_MAX:
            return
    raise AssertionError(verdict(report))


def test_a_restart_without_a_held_socket_loses_requests(tmp_path: Path) -> None:
    """What the other tests rely on: the clients see a loss where there is one."""
    with service(tmp_path, *QUICK, strategy="none", environment={"BOOT_MS": "500"}) as running:
        load = Load(running.address)
        load.await_generation(1)
        while running.number < 6 and load.progress()[1] == 0:  # more than one if the load stood still all the time
            running.await_log(DONE, running.rotate())
            load.await_generation(running.number)
        report = load.finish()
    assert report["failed"]["refused"] > 0, verdict(report)
    assert len(report["answers"]) == running.number, verdict(report)


@ways
@pytest.mark.parametrize("replicas", [1, 4])
def test_no_request_is_lost_in_a_rotation(tmp_path: Path, way: str, replicas: int) -> None:
    """Rotation after rotation, all the time under load."""
    server, adopt = WAYS[way]

    def rotations_under_load(folder: Path) -> dict:
        with service(folder, *QUICK, "--replicas", str(replicas), server=server, adopt=adopt) as running:
            load = Load(running.address, rate=rate_for(server))
            load.await_generation(1)
            rotations = rotate_for(running, load, SECONDS)
            report = load.finish()
        assert report["failed_total"] == 0, verdict(report)
        generations = {answer["generation"] for answer in report["answers"]}
        assert generations == set(range(1, rotations + 2)), verdict(report)
        return report

    expect_prompt(rotations_under_load, tmp_path)


def rotate_to_good(running: Service) -> None:
    """To a good generation; once more when the machine stood still for so long that it was not ready in time either."""
    for _ in range(4):
        if re.search(DONE, running.await_log(f"{DONE}|{BACK}", running.rotate("good"), 120)):
            return
    raise AssertionError(running.log[-2000:])


# How a generation is bad, and what the log has to say about it.
BROKEN = {
    "exit": "exited|status 1",
    "never-ready": "not ready",
    "hang": "not ready",
    "crash": "SIGABRT|status 134|exited",
    "unhealthy": "unhealthy|503|not ready",
}


@both_ways
@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_generation_harms_nobody(tmp_path: Path, kind: str, adopt: bool) -> None:
    """The old one keeps serving, no client ever meets the new one, the log says why, and good secrets are taken afterwards."""
    options = ["--min-healthy", "3s", "--ready-timeout", "5s", "--stop-timeout", "4s", "--failures", "1"]
    if kind == "unhealthy":
        options += ["--health", "http:/"]
    with service(tmp_path, *options, adopt=adopt, environment=CRASHES) as running:
        load = Load(running.address)
        load.mark()
        said = running.await_log(BACK, running.rotate(kind))
        starts = (tmp_path / "starts").read_text().splitlines()
        assert re.search(BROKEN[kind], said), said
        assert sum(f" {kind} " in line for line in starts) in (1, 2), "the retries are bounded"
        load.mark()
        rotate_to_good(running)
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert set(labels_of(report)) == {"good"}, verdict(report)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("way", "replicas"), [("adopted-python", 1), ("adopted-node", 1), ("adopted-c", 4)])
def test_good_and_broken_generations_in_turn(tmp_path: Path, way: str, replicas: int) -> None:
    """All kinds one after the other, under one load, with what unmodified servers offer: their answers to a probe."""
    server, adopt = WAYS[way]
    options = ["--min-healthy", "2s", "--ready-timeout", "8s", "--stop-timeout", "5s", "--health", "http:/"]
    options += ["--replicas", str(replicas)]
    with service(tmp_path, *options, server=server, adopt=adopt, environment=CRASHES) as running:
        load = Load(running.address, rate=rate_for(server))
        for kind in BROKEN:
            load.mark()
            running.await_log(BACK, running.rotate(kind))
            load.mark()
            rotate_to_good(running)
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert set(labels_of(report)) == {"good"}, verdict(report)


@both_ways
@pytest.mark.parametrize("kind", ["slow-boot", "deaf", "helper"])
def test_an_awkward_generation_is_served_by_as_well(tmp_path: Path, kind: str, adopt: bool) -> None:
    """One that boots long, one that has to be killed, one that leaves its listener to a helper: nobody notices."""

    def rotations_under_load(folder: Path) -> dict:
        with service(folder, "--min-healthy", "200ms", "--stop-timeout", "4s", adopt=adopt) as running:
            load = Load(running.address)
            for mode in (kind, "good", kind, "good"):
                load.mark()
                running.await_log(DONE, running.rotate(mode))
                load.await_generation(running.number)
            report = load.finish()
        assert report["failed_total"] == 0, verdict(report)
        assert set(labels_of(report)) == {"good", kind}, verdict(report)
        return report

    expect_prompt(rotations_under_load, tmp_path)


@pytest.mark.parametrize("family", ["unix", "dual-stack", "ipv6"])
def test_other_families_lose_nothing_either(tmp_path: Path, family: str) -> None:
    """A unix socket cannot be steered and is shared by the generations; of a dual-stack one both families are steered alike."""
    listen, client = {
        "unix": (str(tmp_path / "socket"), str(tmp_path / "socket")),
        "dual-stack": ("*:PORT", "127.0.0.1:PORT"),
        "ipv6": ("[::1]:PORT", "[::1]:PORT"),
    }[family]
    ready = ("--ready", "notify") if family == "unix" else ()
    with service(tmp_path, *QUICK, *ready, listen=listen, client=client) as running:
        load = Load(running.address)
        load.await_generation(1)
        rotations = rotate_for(running, load, min(SECONDS, 4))
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert {answer["generation"] for answer in report["answers"]} == set(range(1, rotations + 2)), verdict(report)


@both_ways
def test_a_hundred_hangups_in_a_second_end_with_the_newest_secrets(tmp_path: Path, adopt: bool) -> None:
    """They come together to a few rotations."""
    with service(tmp_path, *QUICK, adopt=adopt) as running:
        load = Load(running.address)
        begin = time.monotonic()
        for number in range(100):
            if number % 10 == 9:
                running.rotate(f"newest-{number}")
            else:
                running.running.signal(signal.SIGHUP)
            time.sleep(max(0.0, begin + 0.01 * (number + 1) - time.monotonic()))
        await_newest(running, "newest-99")
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    starts = (tmp_path / "starts").read_text().splitlines()
    assert len(starts) <= 12, starts


@pytest.mark.parametrize(("surge", "unavailable", "live_max"), [("1", "0", 5), ("0", "1", 4), ("25%", "25%", 5), ("100%", "0", 8)])
def test_there_are_never_more_instances_than_allowed(tmp_path: Path, surge: str, unavailable: str, live_max: int) -> None:
    """Those that drain count as well; and with every limit somebody answers all the time."""
    limits = ("--max-surge", surge, "--max-unavailable", unavailable)
    with service(tmp_path, *QUICK, "--replicas", "4", *limits) as running:
        pid, counts, longest_pause = running.running.pid, [], 0.0
        load = Load(running.address)
        load.await_generation(1)
        for _ in range(2):
            said, before = running.rotate(), time.monotonic()
            while not re.search(DONE, running.log[said:]):
                counts.append(sum(any(v.startswith(b"MODE=") for v in environ_of(child)) for child in children_of(pid)))
                time.sleep(0.005)
                longest_pause, before = max(longest_pause, time.monotonic() - before), time.monotonic()
            load.await_generation(running.number)
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert max(counts) <= live_max, counts
    assert max(counts) == live_max or longest_pause > 0.1, counts  # of the 200 ms for which they are there
    assert len({answer["generation"] for answer in report["answers"]}) == 3, verdict(report)


@both_ways
def test_a_rollout_that_fails_half_way_is_taken_back_everywhere(tmp_path: Path, adopt: bool) -> None:
    """Two of four replicas are on the new secrets when the next ones fail: all four go back, and nobody is refused."""
    with service(tmp_path, *QUICK, "--replicas", "4", adopt=adopt, environment={"FAIL_FROM": "2"}) as running:
        load = Load(running.address)
        pid = running.running.pid
        said = running.rotate("half")
        running.await_log("going back to the one before", said)
        running.await_log(BACK, said)
        wait_until(lambda: sum(b"MODE=good" in environ_of(child) for child in children_of(pid)) == 4, "all are old")
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    starts = (tmp_path / "starts").read_text().splitlines()
    assert sum(" half " in line for line in starts) >= 3, starts


@both_ways
def test_a_second_hangup_at_every_step_loses_nothing(tmp_path: Path, adopt: bool) -> None:
    """While loading, starting, proving, steering, stopping: the newest secrets win."""
    with service(tmp_path, *QUICK, adopt=adopt) as running:
        load = Load(running.address)
        for number, delay in enumerate((0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)):
            load.mark()
            running.rotate(f"first-{number}")
            time.sleep(delay)
            running.rotate(f"newest-{number}")
            await_newest(running, f"newest-{number}")
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)


def await_newest(running: Service, label: str) -> None:
    """Wait until nothing is left but one instance, and that is the newest."""
    pid = running.running.pid

    def is_alone() -> bool:
        family = children_of(pid)
        return len(family) == 1 and f"MODE={label}".encode() in environ_of(family[0])

    wait_until(is_alone, f"only {label} runs: {running.log[-2000:]}")


def environ_of(pid: int) -> list[bytes]:
    """The environment a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


@both_ways
@pytest.mark.parametrize("delay", [0, 0.01, 0.05, 0.1, 0.2, 0.4])
def test_a_stop_at_every_step_ends_everything(tmp_path: Path, delay: float, adopt: bool) -> None:
    """What was accepted is answered, nothing is left, and the exit status is the app's."""
    with service(tmp_path, *QUICK, adopt=adopt) as running:
        load = Load(running.address)
        load.await_answers()
        running.rotate()
        time.sleep(delay)
        family = descendants_of(running.running.pid)
        running.running.signal(signal.SIGTERM)
        status = running.running.wait()
        report = load.finish()
    assert status in (0, 143), running.log
    assert report["failed"]["cut"] == report["failed"]["timeout"] == report["failed"]["status"] == 0, verdict(report)
    wait_until(lambda: not any(is_alive(pid) for pid in family), "all have ended")


@both_ways
@pytest.mark.parametrize("whom", ["old", "new"])
def test_an_instance_killed_at_every_step_is_made_up_for(tmp_path: Path, whom: str, adopt: bool) -> None:
    """Only the requests it had accepted itself are lost; everything comes to one working generation."""
    options = (*QUICK, "--restart", "always", "--restart-delay", "10ms", "--failures", "3")
    steps = (0.005, 0.02, 0.05, 0.1, 0.2, 0.3)
    with service(tmp_path, *options, adopt=adopt) as running:
        load = Load(running.address)
        for number, delay in enumerate(steps):
            label = f"step-{number}"
            old = set(children_of(running.running.pid))
            said = running.rotate(label)
            time.sleep(delay)
            load.mark()
            for pid in children_of(running.running.pid):
                is_new = f"MODE={label}".encode() in environ_of(pid)
                if is_new if whom == "new" else pid in old:
                    kill_quietly(pid)
            running.await_log(f"{DONE}|{BACK}", said)
            load.await_answers()  # by whoever is there instead: before that nobody accepts what waits for the killed one
        running.await_log(DONE, running.rotate("final"))
        load.await_answers()
        report = load.finish()
    failed = report["failed"]
    assert failed["refused"] == failed["timeout"] == failed["status"] == failed["local"] == 0, verdict(report)
    at_once = RATE * report["stall_ms"] / 1000  # what comes together when the load goes on after it stood still
    assert failed["reset"] + failed["cut"] <= len(steps) * (3 + RATE // 50 + at_once), verdict(report)
    assert labels_of(report).get("final", 0) > 0, verdict(report)


@both_ways
def test_a_loader_killed_at_every_step_changes_nothing(tmp_path: Path, adopt: bool) -> None:
    """Its load has failed, or was done already; the next one is taken."""
    options = ("--min-healthy", "1s", "--stop-timeout", "30s")
    with service(tmp_path, *options, adopt=adopt) as running:
        load = Load(running.address)
        for delay in (0, 0.001, 0.002, 0.004, 0.008):
            family = set(children_of(running.running.pid))
            said = running.rotate()
            wait_until(lambda known=family: set(children_of(running.running.pid)) - known, "the loader is there")
            time.sleep(delay)
            for pid in set(children_of(running.running.pid)) - family:
                if not any(variable.startswith(b"MODE=") for variable in environ_of(pid)):  # that is no instance yet
                    kill_quietly(pid)
            running.await_log(f"{DONE}|{BACK}|not loaded", said)
        running.await_log(DONE, running.rotate("final"))
        load.await_answers()
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert labels_of(report).get("final", 0) > 0, verdict(report)


def footprint_of(pid: int) -> tuple[int, int, int]:
    """Descriptors, resident kB and descendants of the supervisor."""
    resident = int(read_status(pid)["VmRSS"].split()[0])
    return len(os.listdir(f"/proc/{pid}/fd")), resident, len(descendants_of(pid))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("adopt", "rotations"), [(True, 200), (False, 60)], ids=["adopted", "declared"])
def test_many_rotations_in_a_row_leave_nothing_behind(tmp_path: Path, adopt: bool, rotations: int) -> None:
    """No descriptor, no memory, no process more than after the first ones; and no request lost."""
    options = ("--min-healthy", "1ms", "--replicas", "2")
    with service(tmp_path, *options, adopt=adopt) as running:
        load = Load(running.address, rate=100, seconds=900)
        for _ in range(20):
            running.await_log(DONE, running.rotate())
        before = settled_footprint(running)
        for _ in range(rotations - 20):
            running.await_log(DONE, running.rotate())
        wait_until(lambda: settled_footprint(running)[0] <= before[0], f"no more descriptors than {before[0]}")
        after = settled_footprint(running)
        report = load.finish()
    assert report["failed_total"] == 0, verdict(report)
    assert after[0] <= before[0], f"descriptors {before[0]} -> {after[0]}"
    assert after[1] <= before[1] + 128, f"resident kB {before[1]} -> {after[1]}"
    assert after[2] == before[2], f"processes {before[2]} -> {after[2]}"


def settled_footprint(running: Service) -> tuple[int, int, int]:
    """The same when nothing is in the air: two processes of the app."""
    pid = running.running.pid
    wait_until(lambda: len(descendants_of(pid)) == 2, "only the two replicas are left")
    time.sleep(0.2)
    return footprint_of(pid)
