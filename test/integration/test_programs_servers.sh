#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# TLS servers, unmodified, whose key is on the token: with their processes,
# reloads and users as in production.
# shellcheck disable=SC2317 # functions are called through cell
# shellcheck source=test/integration/programs.sh
. "$HSMSIGN_SOURCE/test/integration/programs.sh" || exit 1

# ---- nginx ----

# From 1.29 on a URI is marked as one; to those before it is a file's name.
nginx_start() {
    local file=$named

    [ "$way" = PEM ] || file=store:$named
    {
        [ -z "$owner" ] || echo "user $owner;"
        cat << CONF
daemon off;
worker_processes 2;
pid cell/nginx.pid;
error_log stderr;
env OPENSSL_CONF;
env SOFTHSM2_CONF;
events { }
http {
    access_log off;
    client_body_temp_path cell/body;
    proxy_temp_path cell/proxy;
    fastcgi_temp_path cell/fastcgi;
    uwsgi_temp_path cell/uwsgi;
    scgi_temp_path cell/scgi;
    server {
        listen 127.0.0.1:$port ssl reuseport;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate $cert;
        ssl_certificate_key "$file";
        location / {
            add_header X-Worker \$pid;
            return 200 "hello";
        }
    }
}
CONF
    } > cell/nginx.conf
    start nginx -p "$WORK/" -c cell/nginx.conf -e stderr
}

# The worker that answers a new connection: $worker
ask_worker() {
    fetch -D cell/headers -o cell/body.out &&
        worker=$(tr -d '\r' < cell/headers | sed -n 's/^x-worker: //Ip') &&
        [ -n "$worker" ]
}

# both_workers: two processes have answered, and none of "$@" did
both_workers() {
    local first='' i

    for ((i = 0; i < 100; i++)); do
        ask_worker || return 1
        [[ " $* " != *" $worker "* ]] || continue
        workers="$first $worker"
        [ -z "$first" ] || [ "$first" = "$worker" ] || return 0
        first=$worker
    done
    echo 'the same worker always answers' >&2
    return 1
}

# Signals may be sent to processes of the same user only.
has_dropped_rights() {
    [ -z "$owner" ] ||
        setpriv --reuid "$owner" --clear-groups kill -0 "$worker"
}

replaced() {
    ask_worker && [[ " $* " != *" $worker "* ]]
}

nginx_serves() {
    local worker workers old

    listening nginx_start && trusts && both_workers && has_dropped_rights || return 1
    old=$workers
    kill -HUP "$(cat cell/pid)" &&
        until_true 30 replaced "$old" && trusts && both_workers "$old"
}

# ---- apache ----

# Debian compiles none of these in.
apache_modules() {
    local module

    for module in mpm_prefork authz_core alias ssl; do
        echo "LoadModule ${module}_module /usr/lib/apache2/modules/mod_$module.so"
    done
}

apache_start() {
    {
        apache_modules
        [ -z "$owner" ] || printf '%s\n' "User $owner" "Group $owner"
        cat << CONF
ServerRoot $WORK
ServerName $key
DefaultRuntimeDir cell
PidFile cell/apache.pid
Mutex file:cell default
ErrorLog cell/server.log
LogFormat "%P" pid
CustomLog cell/pids pid
StartServers 2
MinSpareServers 2
MaxSpareServers 2
Listen 127.0.0.1:$port
SSLSessionCache none
SSLEngine on
SSLCertificateFile $cert
SSLCertificateKeyFile "$named"
Redirect 204 /
CONF
    } > cell/apache.conf
    : > cell/pids
    start apache2 -f "$WORK/cell/apache.conf" -DFOREGROUND
}

# Two processes have answered, none of them one of ${old[@]}.
two_children() {
    local i

    for ((i = 0; i < 100; i++)); do
        fetch -o cell/body.out || return 1
        [ "$(new_children | wc -l)" -lt 2 ] || return 0
    done
    echo 'the same child always answers' >&2
    return 1
}

new_children() {
    sort -u cell/pids | grep -vxF -e "$(printf '%s\n' "${old[@]:-none}")"
}

apache_serves() {
    local worker
    local -a old=()

    listening apache_start && trusts && two_children || return 1
    # Without process substitution, which needs /proc.
    new_children > cell/old && mapfile -t old < cell/old && worker=${old[0]}
    has_dropped_rights || return 1
    kill -USR1 "$(cat cell/pid)" &&
        until_true 30 two_children && trusts
}

# ---- haproxy ----

haproxy_start() {
    local file=$named

    if [ "$way" = PEM ]; then
        file=cell/haproxy.pem
        cat "$cert" "$named" > "$file"
    fi
    {
        echo global
        [ -z "$owner" ] || printf '%s\n' "user $owner" "group $owner"
        cat << CONF
    nbthread 2
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
frontend https
    bind 127.0.0.1:$port ssl crt $file
    http-request return status 200 content-type text/plain hdr X-Worker "%pid" string hello
CONF
    } > cell/haproxy.cfg
    start haproxy -W -db -f cell/haproxy.cfg
}

# In master-worker mode the signal makes the master execute itself anew.
haproxy_serves() {
    local worker workers old

    listening haproxy_start && trusts && ask_worker && has_dropped_rights || return 1
    old=$worker
    kill -USR2 "$(cat cell/pid)" &&
        until_true 30 replaced "$old" && trusts && has_dropped_rights
}

# ---- stunnel ----

stunnel_start() {
    printf '%s\n' 'foreground = yes' 'pid =' 'syslog = no' 'debug = info' \
        '[echo]' "accept = 127.0.0.1:$port" "cert = $cert" "key = $named" \
        'exec = /bin/cat' 'execArgs = cat' > cell/stunnel.conf
    start stunnel4 cell/stunnel.conf
}

stunnel_serves() {
    listening stunnel_start && trusts
}

if subject nginx nginx -v; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM nginx_serves
    done
    for k in rsa2048 p256; do
        cannot='cannot load certificate key ".*/store:file:' cell $k URI nginx_serves
    done
fi
if subject apache apache2 -v; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM apache_serves
    done
    # It knows a URI by its first letters, so that the twin is named as a file.
    for k in rsa2048 p256 p256-bare; do
        twin=$T/$k.key cell $k URI apache_serves
    done
fi
if subject haproxy haproxy -v; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM haproxy_serves
    done
    for k in rsa2048 p256; do
        cannot="from file 'file:" cell $k URI haproxy_serves
    done
fi
if subject stunnel stunnel4 -version; then
    for k in rsa2048 p256 p256-bare ed25519; do
        cell $k PEM stunnel_serves
    done
    for k in rsa2048 p256; do
        cannot='file:.*No such file' cell $k URI stunnel_serves
    done
fi
finish
