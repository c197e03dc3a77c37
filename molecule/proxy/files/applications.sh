#!/bin/sh
# What the role expects of others: applications on sockets, static files, and certificates.
set -eu

mkdir -p /srv/shop/releases/1/public/static /srv/shop/releases/2 /srv/wiki /srv/blog /srv/elsewhere /var/lib/shop/uploads/public
ln -sfnT releases/1 /srv/shop/current # the live one of the shop's two releases

cat >'/etc/systemd/system/backend@.service' <<'END'
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/backend.py %f
Group=www-data
UMask=0007
[Install]
WantedBy=multi-user.target
END
# The journal of the blog, into which the proxy may write.
mkdir -p /etc/systemd/system/systemd-journald@blog.socket.d
cat >/etc/systemd/system/systemd-journald@blog.socket.d/proxy.conf <<'END'
[Unit]
StopWhenUnneeded=no
[Socket]
SocketMode=0600
SocketUser=www-data
# As for an app of the role wsgi_server: if the directory has the group of its service, the service leaves the owner of what lies there alone.
ExecStartPre=/usr/bin/install -d -m 0755 -g systemd-journal /run/systemd/journal.%i
END
# With a retention its daemon does not end when it has nothing to do, as it does not for an app of the role wsgi_server. systemd 252 does
# not start it again for what comes in that very moment.
printf '[Journal]\nMaxRetentionSec=90day\n' >/etc/systemd/journald@blog.conf
systemctl daemon-reload
systemctl start systemd-journald@blog.socket
for socket in srv-shop-current-app.sock srv-shop-releases-2-app.sock srv-wiki-other.sock srv-blog-app.sock; do
    systemctl enable --quiet --now "backend@$socket.service"
done

many() { yes "$1" | head -n 400 | tr -d '\n'; }
cd /srv/shop/current/public/static
echo 'body { color: teal; }' >style.css
echo 'not for visitors' >.hidden
echo 'for some' >inside.txt
echo "console.log('hashed')" >app.3f2a9c1b.js
echo 'a word, and no hash' >deadbeef.txt
many 'all work and no play ' >large.txt
many 'never packed by the proxy ' >packed.txt
printf 'packed before' >packed.txt.gz

# certificate DIRECTORY NAMES: a certificate for the names that the proxy's group can read.
certificate() {
    mkdir -p "$1"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7 -subj '/CN=test' \
        -addext "subjectAltName=$2" -keyout "$1/privkey.pem" -out "$1/fullchain.pem" 2>/dev/null
    chgrp www-data "$1/privkey.pem"
    chmod 0640 "$1/privkey.pem"
}
certificate /etc/ssl/groundwork/shop/current DNS:shop.example.org,DNS:www.shop.example.org
certificate /etc/ssl/wiki DNS:wiki.example.org
certificate /etc/ssl/tenants 'DNS:tenants.example.org,DNS:*.tenants.example.org'
certificate /etc/ssl/bare DNS:bare.example.org,IP:192.0.2.10
