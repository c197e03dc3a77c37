import testing
def test_x(host, site, authority_root):
    print(testing.host_ip(host), testing.own_ip(host), testing.host_name(host))
    assert "BEGIN" in authority_root
    testing.restart_host(host)
    assert testing.poll(lambda: host.service("pebble").is_running)
    assert testing.tcp_refused(testing.host_ip(host), 81)
    assert testing.tcp_open(testing.host_ip(host), 22)
    assert testing.play(host).returncode == 0
