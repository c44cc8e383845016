"""A module that workers import: functions that are found by their name."""

from breaker import Policy, Provider, get_default_config

breaker = Provider(get_default_config("svc", "test"), default_policy=Policy(100)).get_breaker("jobs")


@breaker
def job(x: int) -> int:
    return x + 1


class Jobs:
    @classmethod
    @breaker
    def of_the_class(cls, x: int) -> int:
        return x + 2

    @staticmethod
    @breaker
    def alone(x: int) -> int:
        return x + 3
