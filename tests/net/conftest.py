"""Fixtures of the namespace tests. Everything here needs root; without it the run ends with status 77."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
sys.path.insert(0, HERE)

from lab import topology as t  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.services import oracle_path, oracle_python  # noqa: E402
from lab.world import World  # noqa: E402

GENERATIONS = ("A", "B", "C")
NOT_PRIVILEGED = 77


def pytest_configure(config):
    config.addinivalue_line("markers", "long: minutes of waiting; tests/net/run --long")


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("namespace tests need root", NOT_PRIVILEGED)


def portals():
    """Which portals stand in: ours, and the second one where it and its interpreter are there."""
    present = os.path.exists(oracle_path()) and os.path.exists(oracle_python())
    if not present and os.environ.get("FG_REQUIRE"):
        raise pytest.UsageError(f"second portal or its interpreter missing: {oracle_path()}, {oracle_python()}")
    return ("ours", "oracle") if present else ("ours",)


@pytest.fixture(scope="module", params=GENERATIONS)
def generation(request):
    return request.param


@pytest.fixture(scope="module", params=portals())
def portal_kind(request):
    return request.param


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test keeps the logs of the labs it used."""
    outcome = yield
    if outcome.get_result().failed:
        used = [getattr(v, "world", v) for v in item.funcargs.values()] + getattr(item, "worlds", [])
        for world in used:
            if isinstance(world, World):
                world.failed = True


@pytest.fixture(scope="module")
def steady(generation, portal_kind):
    """One lab for all tests of a file that leave it as they found it."""
    with Lab(generation, portal_kind) as lab:
        yield lab


@pytest.fixture
def fresh(generation, portal_kind):
    """A lab of the test's own, both peers on the open internet."""
    with Lab(generation, portal_kind) as lab:
        yield lab


@pytest.fixture
def make_lab(request):
    """Labs of any shape, torn down after the test."""
    worlds = request.node.worlds = []

    def make(*args, **kwargs):
        lab = Lab(*args, **kwargs)
        worlds.append(lab.world)
        return lab.__enter__()

    yield make
    for world in reversed(worlds):
        world.down()


@pytest.fixture
def bare_world(request):
    """Namespaces and links only."""
    worlds = request.node.worlds = []

    def raise_world(**shape):
        world = World(t.Shape(**shape))
        worlds.append(world)
        return world.up()

    yield raise_world
    for world in worlds:
        world.down()
