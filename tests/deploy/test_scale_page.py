"""The figures of deploy/SCALE.md are those of the functions that compute them."""

import pytest

from deploy.growth import Hardware, Prices, Traffic, monthly_cost
from tests.deploy import scale_page
from tests.support.server_process import PROJECT

PAGE = (PROJECT / "deploy/SCALE.md").read_text(encoding="utf-8")


def test_the_plan_and_the_simulation() -> None:
    assert [row for row in scale_page.plan_rows() if row not in PAGE] == []


def test_the_machines_bottlenecks_and_costs() -> None:
    rows = [*scale_page.machine_rows(), *scale_page.bottleneck_rows(), *scale_page.figures()]
    assert [row for row in rows if row not in PAGE] == []


def test_the_cost_by_hand() -> None:
    # 1000 x 7 ms are 7 CPUs: 2 machines at 70 % of 8; 0.8 Gbit/s pass one proxy
    traffic = Traffic(1000, service_ms=7, request_bytes=100_000, answer_bytes=1000)
    prices = Prices(machine_hour=0.5, balancer_hour=0.1, gigabyte_out=0.01)
    gigabytes = 1000 * 1000 * 30 * 86400 / 1e9
    expected = (2 * 0.5 + 0.1) * 730 + 0.01 * gigabytes
    assert monthly_cost(traffic, Hardware(), prices) == pytest.approx(expected)
    logged = Prices(0.5, 0.1, 0.01, gigabyte_logged=0.2)
    assert monthly_cost(traffic, Hardware(), logged) == pytest.approx(expected + 0.2 * 648)
