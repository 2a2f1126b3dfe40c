/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include "hsm.h"
#include "log.h"
#include "profile.h"

#define REASON_MAX 1024
#define CHAIN_MAX  16
#define DAYS_WARN  30

/* from: the file or the URI, in which a PIN may be, or NULL. */
static enum profile_state fail(const struct profile *p, const char *what,
                               const char *from)
{
    char reason[REASON_MAX];
    unsigned long code = cli_reason(reason, sizeof(reason));
    const struct p11_rv_info *info = hsm_error(code);
    bool away = hsm_is_away(code);
    char name[REASON_MAX] = "";

    if (from != NULL)
        (void)snprintf(name, sizeof(name), "%s", from);
    cli_clean(name);
    log_printable(name);
    log_event(LOG_ERROR, "profile", "{s:s, s:s, s:s, s:s, s:s}", "profile",
              p->name, "what", what, "from", name, "reason", reason, "state",
              away ? "away" : "wrong");
    if (info != NULL && info->class == P11_CLASS_PIN)
        return PROFILE_REFUSED;
    return away ? PROFILE_AWAY : PROFILE_WRONG;
}

static enum profile_state refuse(const struct profile *p, const char *what,
                                 const char *reason)
{
    ERR_clear_error();
    log_event(LOG_ERROR, "profile", "{s:s, s:s, s:s, s:s}", "profile", p->name,
              "what", what, "reason", reason, "state", "wrong");
    return PROFILE_WRONG;
}

static enum profile_state load_key(const struct profile_source *source,
                                   struct profile *p)
{
    enum profile_state state = PROFILE_GOOD;
    struct signer *s = &p->signer;
    const struct p11_rv_info *info = NULL;

    s->key = signer_load_key(source->key, NULL);
    if (s->key == NULL) {
        info = hsm_error(ERR_peek_last_error());
        state = fail(p, "key", source->key);
    } else if (!EVP_PKEY_is_a(s->key, "RSA") && !EVP_PKEY_is_a(s->key, "EC") &&
               !EVP_PKEY_is_a(s->key, "RSA-PSS")) {
        state = refuse(p, "key", "it is neither an RSA nor an EC key");
    }
    s->pss = s->key != NULL && (EVP_PKEY_is_a(s->key, "RSA-PSS") ||
                                (source->pss && EVP_PKEY_is_a(s->key, "RSA")));
    if (s->key != NULL || (info != NULL && info->rv == P11_MANY_KEYS))
        hsm_describe(source->key, p->pin, s->key == NULL);
    ERR_clear_error();
    return state;
}

static bool load_file(const char *path, STACK_OF(X509) * certs)
{
    struct stat st;

    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return certs_load(path, certs);
    /* A FIFO's writer may never come. */
    ERR_raise_data(ERR_LIB_USER, ERR_R_PASSED_INVALID_ARGUMENT,
                   "%s: it is no regular file", path);
    return false;
}

static bool load_any(const char *name, STACK_OF(X509) * certs)
{
    return is_store_uri(name) ? certs_load_uri(name, NULL, certs)
                              : load_file(name, certs);
}

bool profile_takes(const char *name)
{
    static const char *const ends[] = { ".pem", ".crt", ".cer", ".der" };
    size_t len = strlen(name);

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        if (len > 4 && strcmp(name + len - 4, ends[i]) == 0)
            return true;
    }
    return false;
}

static int is_cert_file(const struct dirent *entry)
{
    return profile_takes(entry->d_name);
}

static void load_directory(const char *dir, STACK_OF(X509) * certs)
{
    struct dirent **list = NULL;
    int n = scandir(dir, &list, is_cert_file, alphasort);

    for (int i = 0; i < n; i++) {
        char path[4096];

        (void)snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
        if (!load_file(path, certs))
            log_event(LOG_WARNING, "certificate", "{s:s, s:s}", "file", path,
                      "reason", "no certificate can be read from it");
        free(list[i]);
    }
    free(list);
}

bool profile_searches(const struct profile_source *source)
{
    return source->cert == NULL || source->chain == NULL;
}

/* The first *own of certs may be the key's. */
static enum profile_state load_certs(const struct options *options,
                                     const struct profile_source *source,
                                     const struct profile *p,
                                     STACK_OF(X509) * certs, int *own)
{
    char uri[1024];

    if (source->cert != NULL && !load_any(source->cert, certs))
        return fail(p, "certificate", source->cert);
    *own = sk_X509_num(certs);
    if (source->chain != NULL && !load_any(source->chain, certs))
        return fail(p, "chain", source->chain);
    if (profile_searches(source)) {
        hsm_cert_uri(source->key, uri, sizeof(uri));
        /* It may have none; but of one that is away nobody can tell. */
        if (!certs_load_uri(uri, NULL, certs) &&
            hsm_is_away(ERR_peek_last_error()))
            return fail(p, "certificate", uri);
        load_directory(options->certs, certs);
    }
    /* The one that was given, and no other in its place. */
    if (source->cert == NULL)
        *own = sk_X509_num(certs);
    ERR_clear_error();
    return PROFILE_GOOD;
}

static int days_left(X509 *cert)
{
    int days = 0, seconds = 0;

    (void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert));
    return seconds < 0 || days < 0 ? -1 : days;
}

/* The order of choice: one that is not valid yet comes after all others. */
static int days_good(X509 *cert)
{
    return X509_cmp_current_time(X509_get0_notBefore(cert)) > 0
               ? -2
               : days_left(cert);
}

/* The key's among the first n; of several the one that is good the longest. */
static X509 *find_leaf(STACK_OF(X509) * certs, int n, EVP_PKEY *key)
{
    X509 *leaf = NULL;

    for (int i = 0; i < n; i++) {
        X509 *cert = sk_X509_value(certs, i);

        if (EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1 &&
            (leaf == NULL || days_good(cert) > days_good(leaf)))
            leaf = cert;
    }
    ERR_clear_error();
    return leaf;
}

static X509 *find_issuer(STACK_OF(X509) * certs, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(certs); i++) {
        X509 *issuer = sk_X509_value(certs, i);

        if (X509_check_issued(issuer, cert) == X509_V_OK &&
            X509_verify(cert, X509_get0_pubkey(issuer)) == 1)
            return issuer;
    }
    ERR_clear_error();
    return NULL;
}

static enum profile_state check_cert(X509 *cert, struct profile *p)
{
    char subject[256] = "", until[64] = "";
    uint32_t usage = X509_get_key_usage(cert);
    BIO *mem = BIO_new(BIO_s_mem());

    if (X509_cmp_current_time(X509_get0_notBefore(cert)) > 0)
        return BIO_free(mem), refuse(p, "certificate", "it is not valid yet");
    if (profile_has_expired(p))
        return BIO_free(mem), refuse(p, "certificate", "it has expired");
    if ((usage & (KU_DIGITAL_SIGNATURE | KU_NON_REPUDIATION)) == 0)
        return BIO_free(mem),
               refuse(p, "certificate", "its key usage is not to sign");
    (void)X509_NAME_oneline(X509_get_subject_name(cert), subject,
                            sizeof(subject));
    if (mem != NULL && ASN1_TIME_print(mem, X509_get0_notAfter(cert)) > 0)
        (void)BIO_read(mem, until, sizeof(until) - 1);
    BIO_free(mem);
    p->days = days_left(cert);
    log_event(p->days < DAYS_WARN ? LOG_WARNING : LOG_INFO, "certificate",
              "{s:s, s:s, s:s, s:i, s:i}", "profile", p->name, "subject",
              subject, "expires", until, "days", p->days, "chain",
              sk_X509_num(p->signer.chain));
    return PROFILE_GOOD;
}

bool profile_has_expired(const struct profile *p)
{
    return X509_cmp_current_time(X509_get0_notAfter(p->signer.cert)) <= 0;
}

void profile_remind(struct profile *p)
{
    int days = days_left(p->signer.cert);

    if (days == p->days)
        return;
    p->days = days;
    if (days < DAYS_WARN)
        log_event(days < 0 ? LOG_ERROR : LOG_WARNING, "certificate",
                  "{s:s, s:i, s:s}", "profile", p->name, "days", days, "reason",
                  days < 0
                      ? "it has expired: nothing is signed with it any more"
                      : "it expires soon: replace it");
}

static enum profile_state choose_certs(STACK_OF(X509) * certs, int own,
                                       struct profile *p)
{
    struct signer *s = &p->signer;
    X509 *cert = find_leaf(certs, own, s->key), *issuer = NULL;

    if (own == 0)
        return refuse(p, "certificate",
                      "there is none: give HSM_CERT, or put it on the token");
    if (cert == NULL)
        return refuse(p, "certificate",
                      "none of those that were given or found is of the key");
    if (!X509_up_ref(cert))
        return fail(p, "certificate", NULL);
    s->cert = cert;
    s->chain = sk_X509_new_null();
    for (int i = 0; i < CHAIN_MAX && X509_self_signed(cert, 0) != 1; i++) {
        issuer = find_issuer(certs, cert);
        if (issuer == NULL)
            break;
        if (!X509_add_cert(s->chain, issuer, X509_ADD_FLAG_UP_REF))
            return fail(p, "chain", NULL);
        cert = issuer;
    }
    p->complete = X509_self_signed(cert, 0) == 1;
    if (!p->complete)
        log_event(LOG_WARNING, "chain", "{s:s, s:s}", "profile", p->name,
                  "reason",
                  "it is not complete: an issuer is missing; give HSM_CHAIN");
    return check_cert(s->cert, p);
}

/* "base64 of PEM" is what Document Engine means by base64-encoded. */
static json_t *encode_cert(X509 *cert)
{
    BIO *mem = BIO_new(BIO_s_mem());
    json_t *item = NULL;
    char *text = NULL;

    if (mem != NULL && PEM_write_bio_X509(mem, cert) &&
        (text = base64_encode(mem)) != NULL)
        item = json_string(text);
    OPENSSL_free(text);
    BIO_free(mem);
    return item;
}

static enum profile_state encode_certs(struct profile *p)
{
    const struct signer *s = &p->signer;
    json_t *chain = json_array(), *all = NULL;

    for (int i = 0; i < sk_X509_num(s->chain); i++)
        (void)json_array_append_new(chain,
                                    encode_cert(sk_X509_value(s->chain, i)));
    all = json_pack("{s:[o], s:o}", "certificates", encode_cert(s->cert),
                    "ca_certificates", chain);
    p->certificates = all != NULL ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return p->certificates != NULL ? PROFILE_GOOD
                                   : fail(p, "certificates", NULL);
}

enum profile_state profile_load(const struct options *options,
                                struct profile_source *source,
                                struct profile **profile)
{
    STACK_OF(X509) *certs = sk_X509_new_null();
    struct profile *p = calloc(1, sizeof(*p));
    enum profile_state state = PROFILE_WRONG;
    int own = 0;

    if (p != NULL && certs != NULL) {
        (void)snprintf(p->name, sizeof(p->name), "%s", source->name);
        p->digests = source->digests;
        p->pin = source->pin;
        source->pin = NULL;
        state = load_key(source, p);
    }
    if (state == PROFILE_GOOD)
        state = load_certs(options, source, p, certs, &own);
    if (state == PROFILE_GOOD)
        state = choose_certs(certs, own, p);
    if (state == PROFILE_GOOD)
        state = encode_certs(p);
    sk_X509_pop_free(certs, X509_free);
    if (state != PROFILE_GOOD) {
        profile_free(p);
        p = NULL;
    }
    *profile = p;
    return state;
}

void profile_free(struct profile *profile)
{
    if (profile == NULL)
        return;
    EVP_PKEY_free(profile->signer.key);
    X509_free(profile->signer.cert);
    sk_X509_pop_free(profile->signer.chain, X509_free);
    free(profile->certificates);
    p11_pin_free(profile->pin);
    free(profile);
}
