/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsign doctor signs: once by each algorithm that the key is for, and then
 * as often as tells how long that takes.
 */
#include <stdlib.h>
#include <time.h>
#include <openssl/err.h>
#include "hsmsign_doctor.h"
#include "hsmsign_tool.h"

/* What is signed to see whether it works. */
static const unsigned char text[] = "hsmsign doctor";

/* Few, since a production cluster's rate is others' too. */
#define SIGNATURES 20

/* What asks the token for different things; a digest is made here. */
static const struct doctor_way {
    const char *type; /* of the key; NULL: any that hashes by itself */
    const char *name, *md;
    bool pss;
} ways[] = {
    { "RSA", "RSA PKCS #1 v1.5 with SHA-256", "SHA256", false },
    { "RSA", "RSA-PSS with SHA-256", "SHA256", true },
    { "RSA-PSS", "RSA-PSS with SHA-256", "SHA256", true },
    { "EC", "ECDSA with SHA-256", "SHA256", false },
    { "EC", "ECDSA with SHA-384", "SHA384", false },
    { NULL, "the message as a whole", NULL, false },
};

double doctor_clock(void)
{
    struct timespec now = { 0 };

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static bool is_for(const struct doctor_way *way, EVP_PKEY *key)
{
    return way->type != NULL ? EVP_PKEY_is_a(key, way->type)
                             : signer_hashes_itself(key);
}

static bool make_signature(struct doctor *d, const struct doctor_way *way,
                           unsigned char *sig, size_t *len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool made = ctx != NULL &&
                EVP_DigestSignInit_ex(ctx, &pctx, way->md, NULL, NULL, d->key,
                                      NULL) > 0 &&
                (!way->pss || signer_set_pss(pctx)) &&
                EVP_DigestSign(ctx, sig, len, text, sizeof(text)) > 0;

    EVP_MD_CTX_free(ctx);
    return made;
}

static bool verify_signature(EVP_PKEY *verifier, const struct doctor_way *way,
                             const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool verified = ctx != NULL &&
                    EVP_DigestVerifyInit_ex(ctx, &pctx, way->md, NULL, NULL,
                                            verifier, NULL) > 0 &&
                    (!way->pss || signer_set_pss(pctx)) &&
                    EVP_DigestVerify(ctx, sig, len, text, sizeof(text)) == 1;

    EVP_MD_CTX_free(ctx);
    return verified;
}

static bool try_way(struct doctor *d, const struct doctor_way *way)
{
    size_t len = (size_t)EVP_PKEY_get_size(d->key);
    unsigned char *sig = OPENSSL_malloc(len);
    EVP_PKEY *verifier = d->key;
    bool made;

    ERR_clear_error();
    if (d->certs != NULL)
        verifier = X509_get0_pubkey(sk_X509_value(d->certs, 0));
    made = sig != NULL && make_signature(d, way, sig, &len);
    if (!made)
        doctor_say(d, DOCTOR_WARNING, "correct what the reason names",
                   "signature: cannot be made, %s", way->name);
    else if (verifier == d->key && !d->has_public)
        doctor_say(d, DOCTOR_OK, "",
                   "signature: made, %s; give --cert to see it verified",
                   way->name);
    else if (verify_signature(verifier, way, sig, len))
        doctor_say(d, DOCTOR_OK, "", "signature: made and verified, %s",
                   way->name);
    else
        doctor_say(d, DOCTOR_ERROR,
                   "give the certificate that was made for this key",
                   "signature: made, but does not verify, %s", way->name);
    OPENSSL_free(sig);
    return made;
}

/* A key may be restricted to some of them. */
bool doctor_check_signatures(struct doctor *d)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (is_for(&ways[i], d->key) && try_way(d, &ways[i]) && d->way == NULL)
            d->way = &ways[i];
    }
    ERR_clear_error();
    if (d->way == NULL)
        doctor_say(d, DOCTOR_ERROR,
                   "correct what the lines above name, or give a key that is "
                   "made for signing",
                   "signature: none can be made");
    return !d->failed;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

bool doctor_check_latency(struct doctor *d)
{
    size_t size = (size_t)EVP_PKEY_get_size(d->key);
    unsigned char *sig = OPENSSL_malloc(size);
    size_t mark = doctor_log_mark(d);
    double ms[SIGNATURES];
    unsigned calls = 0, trips = 0;
    int n = 0;

    for (; sig != NULL && n < SIGNATURES; n++) {
        double begin = doctor_clock();
        size_t len = size;

        if (!make_signature(d, d->way, sig, &len))
            break;
        ms[n] = doctor_clock() - begin;
    }
    OPENSSL_free(sig);
    if (n < SIGNATURES) {
        doctor_say(d, DOCTOR_ERROR, "correct what the reason names",
                   "latency: signature %d of %d failed", n + 1, SIGNATURES);
        return false;
    }
    qsort(ms, SIGNATURES, sizeof(ms[0]), compare);
    d->facts.signatures = SIGNATURES;
    d->facts.p50_ms = ms[SIGNATURES / 2 - 1];
    d->facts.p99_ms = ms[SIGNATURES * 99 / 100];
    doctor_say(d, DOCTOR_OK, "",
               "latency: p50 %.2f ms, p99 %.2f ms of %d signatures, %s",
               d->facts.p50_ms, d->facts.p99_ms, SIGNATURES, d->way->name);
    if (!doctor_log_calls(d, mark, &calls, &trips)) {
        doctor_say(d, DOCTOR_OK, "",
                   "calls per signature: not counted, as the log is written "
                   "elsewhere or another provider signs");
        return true;
    }
    d->facts.calls = (double)calls / SIGNATURES;
    d->facts.trips = (double)trips / SIGNATURES;
    doctor_say(d, DOCTOR_OK, "",
               "calls per signature: %g, of which %g are round trips to a "
               "network HSM",
               d->facts.calls, d->facts.trips);
    return true;
}
