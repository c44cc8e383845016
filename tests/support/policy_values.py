"""What the keys of a policy document take and refuse, as JSON text: the reader and the schema are held to the same."""

from __future__ import annotations

COUNTS = {
    "failureThreshold": 2**31 - 1,
    "successThreshold": 2**31 - 1,
    "halfOpenMaxCalls": 1000,
    "minimumCalls": 2**31 - 1,
}
TIMES = ["openStateTimeout", "probeTimeout", "openTimeoutMax", "slowCallDuration", "recoveryTime"]
RATIOS = ["failureRateThreshold", "slowCallRateThreshold"]
SWITCHED = ["failureThreshold", *RATIOS, "slowCallDuration", "recoveryTime"]  # null switches them off
NUMBERS = {"openTimeoutMultiplier": "1 to 1000", "openTimeoutJitter": "0 to 1"}
MODES = ["auto", "forced_open", "disabled", "shadow"]

TIMES_READ = {
    "1m30s": 90.0,
    "500ms": 0.5,
    "300ms": 0.3,
    "1.5h": 5400.0,
    "1ns": 1e-9,
    "+5s": 5.0,
    "1us": 1e-6,
    "1µs": 1e-6,
    "1μs": 1e-6,
    ".5s": 0.5,
    "9223372036854775807ns": 9223372036.854775807,
}
COUNTS_REFUSED = [
    *("true", "false", '"5"', '""', '"five"', "1.5", "5.0", "1e0", "0", "-0", "-1", "null", "[]", "{}", "[5]"),
    *("2147483648", "9223372036854775808", "1" + "0" * 400, "1" * 5000, "-" + "1" * 5000, "1e999"),
]
TIMES_REFUSED = [
    *("60", "60.5", "0", "-1", "60000000000", "1" * 400, "1e999", "true", "false", "null", "[]", "{}", '["60s"]'),
    *('"abc"', '""', '"0s"', '"0"', '"-0s"', '"-1s"', '"9223372036854775808ns"', '"1d"', '"60"', '"60 s"', '"1 m"'),
    *('"1m 30s"', '" 60s"', '"60s "', '"inf"', '"infs"', '"1e3s"', '"60S"', '"٣s"', '"1_0s"', '"0.1ns"'),
    *('"60s\\n"', '"\\n60s"', '"+-5s"', '"++5s"', '"s"', '".s"', '"5..5s"', '"5.5.5s"', '"1m30"'),
]
NUMBERS_REFUSED = ["true", "null", '"1"', "-0.1", "1000.1", "1e999", "[]", "1" * 5000]
RATIOS_REFUSED = ["true", '"0.5"', "0", "-0.1", "1.0000001", "50", "100", "1e999", "[]", "{}", "1" * 5000]
WINDOWS_READ = ['{"calls": 1}', '{"calls": 1000000}', '{"time": "60s"}', '{"time": "1ns"}']
WINDOWS_REFUSED = [
    *("null", "true", "100", '"60s"', "0", "{}", '{"calls": 100, "time": "60s"}', '{"calls": 0}', '{"calls": 1000001}'),
    *('{"calls": null}', '{"calls": "5"}', '{"calls": true}', '{"time": 60}', '{"time": "0s"}', '{"time": null}'),
    *('{"size": 100}', '{"calls": 100, "size": 1}', "[]", '[{"calls": 100}]'),
]
MODES_REFUSED = ['"AUTO"', '""', '"forced-open"', '"open"', "null", "true", "0", "[]", "{}"]

READ = [
    *((key, str(value)) for key, most in COUNTS.items() for value in (1, 2, most)),
    *((key, f'"{text}"') for key in TIMES for text in TIMES_READ),
    *(("openTimeoutMultiplier", text) for text in ("1", "1.0", "2.5", "1e3", "1000")),
    *(("openTimeoutJitter", text) for text in ("0", "-0.0", "0.5", "1", "1e-9")),
    *(("mode", f'"{mode}"') for mode in MODES),
    *((key, text) for key in RATIOS for text in ("1e-9", "0.07", "0.5", "1", "1.0")),
    *((key, "null") for key in SWITCHED),
    *(("window", text) for text in WINDOWS_READ),
    *(("comment", text) for text in ("null", '"x"', "[1, {}]", "-1")),
    *(("failure_limit", text) for text in ("null", '"x"')),
]
REFUSED = [
    *((key, text) for key in COUNTS for text in COUNTS_REFUSED if not (text == "null" and key in SWITCHED)),
    *((key, text) for key in TIMES for text in TIMES_REFUSED if not (text == "null" and key in SWITCHED)),
    *((key, text) for key in RATIOS for text in RATIOS_REFUSED),
    *(("window", text) for text in WINDOWS_REFUSED),
    *((key, text) for key in NUMBERS for text in NUMBERS_REFUSED),
    *(("mode", text) for text in MODES_REFUSED),
]
# Valid by the schema: to JSON 5.0 is a whole number, and a pattern cannot count.
BEYOND_A_SCHEMA = {"5.0", "1e0", '"9223372036854775808ns"', '"0.1ns"'}


def with_value(key: str, value: str) -> str:
    """A document whose value may be something that Python would not write."""
    companions = {
        "slowCallDuration": '"slowCallRateThreshold": 0.5',
        "slowCallRateThreshold": '"slowCallDuration": "1s"',
        "failureThreshold": '"failureRateThreshold": 0.5',
        "successThreshold": '"comment": 1',
    }
    companion = "" if value == "null" and key.startswith("slow") else companions.get(key, "")
    beside = companion or '"successThreshold": 2'
    return f'{{{beside}, "{key}": {value}}}'
