#!/usr/bin/env bash
# account.sh NAME: the account and the units of an app, as a stranger makes them by hand.
set -euo pipefail
name=$1
groupadd --system --force groundwork-build  # of all builds, as the role service_user makes it
useradd --system --no-create-home --shell /usr/sbin/nologin "$name"
install -d -m 0711 "/srv/$name"
install -d -m 0750 -o "$name" -g "$name" "/var/lib/$name" "/var/cache/$name"
cat >"/etc/systemd/system/$name@.socket" <<END
[Socket]
ListenStream=/srv/$name/releases/%i/app.sock
RemoveOnStop=yes
[Install]
WantedBy=sockets.target
END
cat >"/etc/systemd/system/$name@.service" <<END
[Unit]
Requires=$name@%i.socket
After=$name@%i.socket
StartLimitIntervalSec=0
[Service]
Type=notify
User=$name
ExecStart=/srv/$name/releases/%i/start
WorkingDirectory=/srv/$name/releases/%i/code
EnvironmentFile=/srv/$name/releases/%i/env
RuntimeDirectory=$name-%i
LogNamespace=$name
KillMode=mixed
Restart=always
RestartSec=0
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
