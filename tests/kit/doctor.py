"""What `alliance doctor` says."""


def found(cloud, about: str, *words: str) -> dict[str, list[str]]:
    """What it says of this, about its own configuration too, by how bad it is."""
    config = str(cloud.folder / "alliance" / "alliance.toml")
    command = ("--format", "json", "doctor", "--config", config, *words)
    states: dict[str, list[str]] = {}
    for one in cloud.alliance(*command, status=None).json():
        if one["what"] == about:
            states.setdefault(one["state"], []).append(one["detail"])
    return states
