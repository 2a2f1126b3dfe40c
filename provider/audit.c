/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>
#include "audit.h"
#include "guard.h"
#include "pkcs11/log.h"

/* What sign.c may ask for. */
static const struct {
    CK_MECHANISM_TYPE type;
    const char *name;
} mechanisms[] = {
    { CKM_RSA_PKCS, "CKM_RSA_PKCS" },
    { CKM_RSA_X_509, "CKM_RSA_X_509" },
    { CKM_RSA_PKCS_PSS, "CKM_RSA_PKCS_PSS" },
    { CKM_ECDSA, "CKM_ECDSA" },
    { CKM_EDDSA, "CKM_EDDSA" },
    { CKM_ML_DSA, "CKM_ML_DSA" },
};

bool prov_audit_parse(const char *spec, struct prov_audit *audit)
{
    const char *comma = strrchr(spec, ',');
    size_t len = comma != NULL ? (size_t)(comma - spec) : strlen(spec);
    bool warn = comma != NULL && strcmp(comma, ",warn") == 0;
    bool is_file = len > 6 && memcmp(spec, "file:/", 6) == 0;

    if ((comma != NULL && !warn && strcmp(comma, ",refuse") != 0) ||
        (!is_file && (len != 6 || memcmp(spec, "syslog", 6) != 0)))
        return false;
    audit->path = is_file ? OPENSSL_strndup(spec + 5, len - 5) : NULL;
    audit->warn = warn;
    audit->on = !is_file || audit->path != NULL;
    return audit->on;
}

void prov_audit_clear(struct prov_audit *audit)
{
    OPENSSL_free(audit->path);
}

/* A name, or a number where there is none. */
static const char *name_or_hex(const char *name, unsigned long value,
                               char buf[24])
{
    if (name != NULL)
        return name;
    (void)snprintf(buf, 24, "0x%lx", value);
    return buf;
}

static const char *mechanism_name(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
        if (mechanisms[i].type == type)
            return mechanisms[i].name;
    }
    return NULL;
}

/*
 * No string needs escapes: a URI is percent-encoded, so that there is neither
 * quote, backslash nor control character in it, and the others are names.
 */
static size_t put_line(char *line, size_t size, const struct prov_key *key,
                       const struct prov_signed *made, long microseconds,
                       CK_RV rv, unsigned retries)
{
    CK_MECHANISM_TYPE mechanism = prov_sign_mechanism(key, made->params);
    const struct p11_rv_info *info = p11_rv_info(rv);
    const struct prov_digest *md = made->params->md;
    const char *quote = md != NULL ? "\"" : "";
    char now[P11_LOG_TIME], uri[1024], hex[65], number[2][24];
    unsigned char sha256[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (!EVP_Q_digest(key->ctx->libctx, "SHA256", PROV_NOT_OURS, made->in,
                      made->len, sha256, &len))
        return 0;
    for (size_t i = 0; i < len; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", sha256[i]);
    p11_key_uri(key->token_key, uri, sizeof(uri));
    p11_log_time(now);
    return (size_t)snprintf(
        line, size,
        "{\"time\":\"%s\",\"key\":\"%s\",\"mechanism\":\"%s\","
        "\"digest\":%s%s%s,\"data_sha256\":\"%s\",\"result\":\"%s\","
        "\"latency_ms\":%ld.%03ld,\"retries\":%u,\"pid\":%ld}\n",
        now, uri, name_or_hex(mechanism_name(mechanism), mechanism, number[0]),
        quote, md != NULL ? md->name : "null", quote, hex,
        rv == CKR_OK
            ? "ok"
            : name_or_hex(info->rv == rv ? info->name : NULL, rv, number[1]),
        microseconds / 1000, microseconds % 1000, retries, (long)getpid());
}

/* line[-1] has room for what ends a line of before that was cut. */
static bool write_file(struct prov_audit *audit, char *line, size_t len)
{
    int fd = p11_log_open_file(audit->path);
    size_t torn = atomic_load(&audit->torn) ? 1 : 0;
    bool written;
    int why;

    if (fd < 0)
        return false;
    line[-1] = '\n';
    errno = ENOSPC; /* what a part of a line means */
    written = p11_log_write(fd, line - torn, len + torn);
    why = errno;
    atomic_store(&audit->torn, !written);
    /* Some file systems say only there that they are full. */
    if (close(fd) != 0)
        return false;
    errno = why;
    return written;
}

CK_RV prov_audit(const struct prov_key *key, const struct prov_signed *made,
                 long microseconds, unsigned retries, CK_RV rv,
                 struct p11_error *err)
{
    struct prov_audit *audit = &key->ctx->config.audit;
    char line[2048];
    size_t len = put_line(line + 1, sizeof(line) - 1, key, made, microseconds,
                          rv, retries);
    struct p11_error why = { 0 };

    if (len == 0) {
        p11_error_set(&why, P11_AUDIT,
                      "no provider offers SHA256; activate "
                      "\"default\"");
    } else if (audit->path == NULL) {
        syslog(LOG_USER | LOG_NOTICE, "%.*s", (int)len - 1, line + 1);
        return rv;
    } else if (write_file(audit, line + 1, len)) {
        return rv;
    } else {
        p11_error_set(&why, P11_AUDIT,
                      "hsmsign-audit = file:%s: %m; make room, or set a file "
                      "that this process may write",
                      audit->path);
    }
    if (rv == CKR_OK && !audit->warn)
        return p11_error_set(err, P11_AUDIT, "%s", why.text);
    p11_log(P11_LOG_WARNING, "not in the audit log: %s", why.text);
    return rv;
}
