#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# conf/nginx.conf in front of hsmsignd: nginx, unmodified, has the key of its TLS
# on the same token, and lets clients with a certificate sign.
# shellcheck disable=SC2317 # functions are called through check
# shellcheck source=test/integration/lib.sh
. "$HSMSIGN_SOURCE/test/integration/lib.sh" || exit 1
# shellcheck source=test/integration/hsmsignd.sh
. "$HSMSIGN_SOURCE/test/integration/hsmsignd.sh" || exit 1
T=$HSMSIGN_TOKEN
PATH=$PATH:/usr/sbin:/sbin
for program in nginx curl; do
    command -v "$program" > /dev/null || {
        echo "1..0 # SKIP $program is not installed"
        exit
    }
done
nginx=

end() {
    [ -z "$nginx" ] || kill "$nginx" 2> /dev/null
    clean_up
}
trap end EXIT

# client NAME [CA]: a certificate for a client, of a CA of that name
client() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=CA of $1" \
        -config req.cnf -extensions ca -keyout "$1-ca.key" -out "$1-ca.pem" &&
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" \
            -config req.cnf -keyout "$1.key" -out "$1.csr" &&
        openssl x509 -req -in "$1.csr" -CA "$1-ca.pem" -CAkey "$1-ca.key" -CAcreateserial \
            -extfile /dev/null -out "$1.pem"
}

# The configuration, with this machine's paths, ports and user.  Each line that
# is another here has to be there.
configure() {
    local line name=www-data

    [ "$(id -u)" -eq 0 ] || name=$(id -un)
    cp "$HSMSIGN_SOURCE/conf/nginx.conf" nginx.conf
    while IFS='|' read -r line by; do
        grep -qF -- "$line" nginx.conf || {
            echo "nginx.conf has no $line"
            return 1
        } >&2
        sed -i "s|$line|$by|" nginx.conf
    done << END
user www-data;|user $name;
pid /run/nginx.pid;|pid $WORK/nginx.pid; env SOFTHSM2_CONF;
error_log /var/log/nginx/error.log;|error_log stderr warn;
access_log /var/log/nginx/hsmsignd.log|client_body_temp_path $WORK/b; proxy_temp_path $WORK/p; fastcgi_temp_path $WORK/f; uwsgi_temp_path $WORK/u; scgi_temp_path $WORK/s; access_log $WORK/access.log
server 127.0.0.1:6000;|server 127.0.0.1:$port;
listen 443 ssl;|listen 127.0.0.1:$tls ssl;
/etc/hsmsign/tls.pem|$T/p256.pem
/etc/hsmsign/tls-key.pem|$WORK/tls-key.pem
/etc/hsmsign/clients-ca.pem|$WORK/engine-ca.pem
END
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start_nginx() {
    "$HSMSIGN" uri2pem "$(uri p256)" --out tls-key.pem && configure || return 1
    OPENSSL_CONF=$conf nginx -g 'daemon off;' -p "$WORK/" -c "$WORK/nginx.conf" -e stderr \
        > nginx.log 2>&1 < /dev/null &
    nginx=$!
    for _ in {1..200}; do
        ask /healthz > /dev/null 2>&1 && return
        kill -0 "$nginx" 2> /dev/null || break
        sleep 0.05
    done
    cat nginx.log >&2
    return 1
}

# ask PATH [OPTION]...: prints the status; the answer is in ./answer
ask() {
    OPENSSL_CONF=/dev/null timeout 30 curl -sS --cacert "$T/ca.pem" -o answer -D headers \
        --resolve "p256:$tls:127.0.0.1" -w '%{http_code}\n' "${@:2}" "https://p256:$tls$1"
}

# answered STATUS PATH [OPTION]...
answered() {
    equal "$1" "$(ask "${@:2}")"
}

as_engine() { # STATUS PATH [OPTION]...
    answered "$@" --cert engine.pem --key engine.key
}

signs() { # FILE [OPTION]...
    {
        printf '{"action":"sign_pkcs7","hash_algorithm":"sha256","digest":"%s","encoded_contents":"' \
            "$(sha256sum < "$1" | cut -d ' ' -f 1)"
        base64 -w 0 "$1"
        printf '"}'
    } > body
    as_engine 200 /sign -H 'Content-Type: application/json' --data-binary @body "${@:2}" &&
        plain cms -verify -binary -inform DER -in answer -content "$1" -CAfile "$T/ca.pem" \
            -purpose any -out /dev/null
}

certificate_of_token() {
    ask /healthz -v 2>&1 | grep 'subject: CN=p256' &&
        head -n 1 tls-key.pem | grep 'PKCS#11 PROVIDER URI'
}

in_both_logs() {
    [ ${#1} -eq 32 ] && grep -q "$1" hsmsignd.log && grep -q "$1" access.log
}

stop_nginx() {
    local status

    kill -QUIT "$nginx"
    wait "$nginx"
    status=$?
    nginx=
    cat nginx.log >&2
    return "$status"
}

printf '%s\n' '[req]' 'distinguished_name=n' '[n]' '[ca]' 'basicConstraints=critical,CA:TRUE' > req.cnf
check 'a CA and a certificate for a client' client engine
check 'and of another CA' client stranger
printf '%s\n' "$DEMO_PIN" > pin
if [ "$(id -u)" -eq 0 ]; then
    chmod 711 "$WORK"
    chown -R www-data: "$WORK/token" pin
fi
make_conf openssl.cnf "pkcs11-module-token-pin = file:$WORK/pin"
check 'hsmsignd starts' start_hsmsignd rsa2048 --strict-digest
tls=$(free_port)
check 'nginx starts' start_nginx
check 'its TLS has the key of the token' certificate_of_token
head -c 1000 /dev/urandom > small
head -c 16M /dev/urandom > large # 21 MiB in base64
check 'a client with a certificate signs' signs small
check 'a body of 21 MiB too' signs large
check 'which nginx did not put on the disk' sh -c '! grep "buffered to a temporary file" nginx.log'
check 'the id of a request goes to hsmsignd' signs small -H 'X-Request-Id: engine-4711'
check 'into its log' grep -q 'engine-4711' hsmsignd.log
check 'into its answer' grep -qi '^x-request-id: engine-4711' headers
check 'and into the log of nginx, with the client' grep -q 'engine-4711 "CN=engine"' access.log
check 'without one there is a new one' signs small
id=$(tr -d '\r' < headers | sed -n 's/^x-request-id: //Ip')
check 'the same in the answer and both logs' in_both_logs "$id"
check 'a client without a certificate is refused' answered 403 /sign --data-binary @body
check 'also for the numbers' answered 403 /metrics
check 'and for a profile' answered 403 /sign/default --data-binary @body
check 'so is one with a certificate of another CA' \
    answered 400 /sign --data-binary @body --cert stranger.pem --key stranger.key
signed=$(grep -c '"event":"request".*"/sign' hsmsignd.log)
check 'hsmsignd heard of none of these' [ "$signed" -eq 4 ]
check 'probes need no certificate' answered 200 /readyz
check 'who has one reads the numbers' as_engine 200 /metrics
check 'there is nothing else' as_engine 404 /nothing
truncate -s 101M huge
check 'a body of 101 MiB is refused' as_engine 413 /sign -H 'Expect:' --data-binary @huge
check 'nginx ends' stop_nginx
check 'hsmsignd ends' stop_hsmsignd
finish
