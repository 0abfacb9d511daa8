"""What is ours is told from what is not: `down` neither misses nor touches the wrong thing."""

from __future__ import annotations

from pathlib import Path

from onebox import firewall, network, residue

MOUNTS = """\
/dev/vda / ext4 rw 0 0
tmpfs /repo/.run/nodes/a/tmp tmpfs rw 0 0
proc /cache/images/root\\040fs/proc proc rw 0 0
tmpfs /repo/.running tmpfs rw 0 0
tmpfs /repo/.run tmpfs rw 0 0
"""


def test_mounts_at_and_below_our_folders_are_found_deepest_first() -> None:
    found = residue.mount_points(MOUNTS, [Path("/repo/.run"), Path("/cache")])
    assert found == ["/repo/.run/nodes/a/tmp", "/cache/images/root fs/proc", "/repo/.run"]


def test_only_links_with_our_names_are_ours() -> None:
    listing = (
        "lo               UNKNOWN        00:00:00:00:00:00\n"
        "kaito0           UP             02:cc:5f:10:19:79\n"
        "kaito-n12@if2    UP             02:cc:5f:10:19:79\n"
        "docker0          DOWN           02:42:00:00:00:00\n"
    )
    assert residue.our_links(listing) == ["kaito0", "kaito-n12"]


def test_routes_through_our_nodes_are_ours_and_the_default_route_is_not() -> None:
    listing = (
        "default via 192.0.2.1 dev eth0 \n"
        "10.89.0.0/24 dev kaito0 proto kernel scope link src 10.89.0.1 \n"
        "10.96.0.0/16 via 10.89.0.11 dev eth9 \n"
    )
    assert [route.split()[0] for route in residue.our_routes(listing)] == [
        "10.89.0.0/24",
        "10.96.0.0/16",
    ]


def test_rules_that_name_our_bridge_are_ours() -> None:
    listing = "-A INPUT -i kaito0 -j ACCEPT\n-A FORWARD -i docker0 -j ACCEPT\n"
    assert residue.our_rules(listing) == ["-A INPUT -i kaito0 -j ACCEPT"]


def test_every_rule_that_we_add_is_one_that_the_look_finds() -> None:
    for chain, *match in firewall.RULES:
        assert residue.our_rules(f"-A {chain} {' '.join(match)} -j ACCEPT")


def test_a_firewall_that_accepts_everything_needs_no_rule() -> None:
    plain = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT\n"
    assert not firewall.filters(plain, "FORWARD")


def test_dockers_and_ufws_firewalls_need_rules() -> None:
    docker = "-P INPUT ACCEPT\n-P FORWARD DROP\n-N DOCKER-USER\n"
    ufw = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-A INPUT -j ufw-before-input\n"
    assert firewall.filters(docker, "FORWARD")
    assert not firewall.filters(docker, "INPUT")
    assert firewall.filters(ufw, "INPUT")


def test_a_foreign_interface_in_the_nodes_network_is_named() -> None:
    links = [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "kaito0", "addr_info": [{"local": "10.89.0.1"}]},
        {"ifname": "podman1", "addr_info": [{"local": "10.89.0.1"}]},
    ]
    assert network.conflicting_link(links[:2]) is None
    assert network.conflicting_link(links) == "podman1"
