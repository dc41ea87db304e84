"""Faults on the way to Debian's docker-registry: in the end the image is the old or the new one."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nixbridge.destinations import Access, parse_destination
from nixbridge.destinations.registry import Registry
from nixbridge.errors import DestinationError
from registry.cutting_proxy import CuttingProxy
from registry.shop import LARGE_BYTES, PLAIN, SMALL_BYTES, Shop
from registry_server import RegistryServer, make_tls_files, running_registry

pytestmark = pytest.mark.tools

TESTS = Path(__file__).parent.parent


def pull(require_tool: Callable[[str], str], reference: str, folder: Path) -> str:
    """Return the digest of an image that skopeo pulls, checking all of it."""
    argv = [require_tool("skopeo"), "copy", "--src-tls-verify=false", "--preserve-digests"]
    subprocess.run([*argv, reference, f"oci:{folder}:shop"], check=True, capture_output=True)
    index = json.loads((folder / "index.json").read_bytes())
    return str(index["manifests"][0]["digest"])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(10))
def test_connections_that_are_cut_at_random_bytes(
    docker_registry: RegistryServer, shop: Shop, seed: int
) -> None:
    """Most connections break; those that come after them hold."""
    dice = random.Random(seed)
    name = f"shop{seed}:1"
    old = shop.deliver(docker_registry.reference(name), infos=shop.infos[:1]).image
    budgets = [dice.choice([200, 1_000, 100_000, 500_000]) for _ in range(dice.randrange(2, 9))]
    budgets = [dice.randrange(budget) for budget in budgets]
    with CuttingProxy(docker_registry.host, budgets).running() as proxy:
        try:
            new = shop.deliver(f"docker://{proxy.host}/{name}").image
        except DestinationError as error:
            assert proxy.host in error.message  # noqa: PT017 - either end is right
            new = old
        assert proxy.cuts > 0 or max(budgets) > LARGE_BYTES
    found = shop.registry(docker_registry.reference(name)).inspect(PLAIN)
    assert found.digest == new.digest


@pytest.mark.parametrize("budget", [0, 10, 600])
def test_a_first_connection_that_is_cut_does_not_mean_that_there_is_no_tls(
    require_tool: Callable[[str], str], tmp_path: Path, shop: Shop, budget: int
) -> None:
    """Plain http is tried as well, and refused: that is not the last word."""
    tls = make_tls_files(tmp_path / "tls")
    with (
        running_registry(require_tool("docker-registry"), tmp_path / "registry", tls=tls) as server,
        CuttingProxy(server.host, [budget]).running() as proxy,
    ):
        image = shop.deliver(f"docker://{proxy.host}/shop:1").image
        assert proxy.cuts == 1
        assert shop.registry(server.reference("shop:1")).inspect(PLAIN).digest == image.digest


def deliver_in_a_process(
    directory: Path, reference: str, *, sizes: tuple[int, ...]
) -> subprocess.Popen[str]:
    """Deliver in a process of its own, with a cache, until it is done or killed."""
    program = f"""
import sys
sys.path.insert(0, {str(TESTS)!r})
from pathlib import Path
from registry.again import deliver_again
print(deliver_again(Path({str(directory)!r}), {reference!r}, {sizes!r}))
"""
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


# Of all sizes: kept ones, and one that is sent in pieces.
KILL_SIZES = (*[SMALL_BYTES + number for number in range(6)], 1_500_000, 6_000_000, 12_000_000)
KILLS = int(os.environ.get("NIXBRIDGE_TEST_KILLS", "4"))


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_a_random_moment_and_run_again(
    docker_registry: RegistryServer,
    require_tool: Callable[[str], str],
    tmp_path: Path,
    number: int,
) -> None:
    """The old image stays until the new one is whole, and only what was missing is sent."""
    dice = random.Random(number)
    reference = docker_registry.reference("shop:1")
    shop = Shop(tmp_path, KILL_SIZES)
    old = shop.deliver(reference, infos=shop.infos[:2]).image
    process = deliver_in_a_process(tmp_path, reference, sizes=KILL_SIZES)
    # From the first request on, whenever that is.
    seen = len(docker_registry.requests())
    while len(docker_registry.requests()) == seen and process.poll() is None:
        time.sleep(0.002)
    time.sleep(dice.uniform(0, 0.25))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    place = parse_destination(reference)
    assert isinstance(place, Registry)
    found = place.inspect(PLAIN)
    killed_too_late = process.returncode == 0
    pulled = pull(require_tool, reference, tmp_path / "pulled")
    assert pulled == str(found.digest)
    assert found.digest == old.digest or killed_too_late or len(found.layers) == len(KILL_SIZES)

    there = docker_registry.blobs()
    seen = len(docker_registry.requests())
    again = deliver_in_a_process(tmp_path, reference, sizes=KILL_SIZES)
    delivered, _ = again.communicate()
    assert again.returncode == 0
    digest = delivered.strip().rpartition("@")[2]
    assert pull(require_tool, reference, tmp_path / "pulled-again") == digest
    sent = [
        request.path.rpartition("digest=")[2]
        for request in docker_registry.requests()[seen:]
        if request.method == "PUT" and "/uploads/" in request.path
    ]
    # What was whole when the first run was killed is not sent again.
    assert not there & set(sent)
    assert len(sent) == len(set(sent))


def test_a_full_disk(require_tool: Callable[[str], str], tmp_path: Path, shop: Shop) -> None:
    """The registry can write no file of more than a megabyte: one message, and the old image."""
    program = require_tool("docker-registry")
    limited = (require_tool("sh"), "-c", 'ulimit -f 2000; trap "" XFSZ; exec "$@"', "sh")
    with running_registry(program, tmp_path / "registry", prefix=limited) as server:
        reference = server.reference("shop:1")
        old = shop.deliver(reference).image
        large = [*shop.infos, shop.add("large", 8_000_000)]
        with pytest.raises(DestinationError) as caught:
            shop.deliver(reference, infos=large)
        # What docker-registry says of it, in its two ways: file too large.
        reason = os.strerror(errno.EFBIG).lower()
        assert caught.value.message.startswith(f"{server.host} failed to write `shop`: 500 ")
        assert caught.value.message.endswith(reason)
        assert caught.value.details == "it was layer 3 of 3: large"
        assert caught.value.exit_status == 7
        place = parse_destination(reference)
        assert isinstance(place, Registry)
        assert place.inspect(Access(verifies_tls=False)).digest == old.digest
        # It can be pulled still, and small images can be pushed.
        assert pull(require_tool, reference, tmp_path / "pulled") == str(old.digest)
        shop.deliver(reference, infos=shop.infos[:1])
