import pytest

from benchmarks.pricing import Prices, cost_per_million, main


def test_the_cost_is_of_the_hours_that_a_million_requests_take() -> None:
    prices = Prices(cpu_hour=0.5, gigabyte_hour=0.1, use=1.0)
    # 36 ms: 10 CPU hours, in which 4 CPUs share 8 GB
    assert cost_per_million(0.036, 8.0, cpus=4, prices=prices) == pytest.approx(10 * 0.5 + 10 * 0.2)
    half = Prices(cpu_hour=0.5, gigabyte_hour=0.1, use=0.5)
    assert cost_per_million(0.036, 8.0, cpus=4, prices=half) == pytest.approx(14.0)


def test_the_command_takes_the_readers_prices(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--cpu-ms", "36", "--memory-mb", "8000", "--cpus", "4", "--cpu-hour", "0.5"]
    assert main([*arguments, "--gb-hour", "0.1", "--use", "1"]) == 0
    assert capsys.readouterr().out == "7.00 for 10^6 requests\n"
