"""Origins, errors and their lines."""

from rookery.config.errors import DEFAULT, ConfigError, ConfigErrors, Origin, dotted


def test_each_origin_has_a_name_for_people():
    assert str(Origin("file", "a.yaml", 3, 5)) == "a.yaml:3:5"
    assert str(Origin("file", "a.yaml")) == "a.yaml"
    assert str(Origin("environment", "MQTT_PORT")) == "environment MQTT_PORT"
    assert str(Origin("override", "a=1")) == "--set a=1"
    assert str(DEFAULT) == "default"
    assert str(Origin("file", "a.yaml", 3, 5, "/run/x")) == "a.yaml:3:5 (from /run/x)"


def test_a_path_is_written_with_dots_and_no_control_characters():
    assert dotted(("listeners", 0, "port")) == "listeners.0.port"
    assert dotted(("a\nb",)) == "a\\nb"


def test_an_error_names_place_path_and_fault():
    error = ConfigError(Origin("file", "a.yaml", 3, 5), ("limits", "x"), "unknown key")
    assert str(error) == "a.yaml:3:5: limits.x: unknown key"
    assert str(ConfigError(Origin("file", "a.yaml"), (), "cannot be read")) == (
        "a.yaml: cannot be read"
    )


def test_errors_are_told_from_the_top_of_the_file_to_the_command_line():
    origins = [
        Origin("override", "b=1"),
        Origin("file", "a.yaml", 12, 1),
        Origin("environment", "A"),
        Origin("file", "a.yaml", 3, 9),
    ]
    errors = ConfigErrors([ConfigError(origin, (), "wrong") for origin in origins])
    assert str(errors).splitlines() == [
        "a.yaml:3:9: wrong",
        "a.yaml:12:1: wrong",
        "environment A: wrong",
        "--set b=1: wrong",
    ]
