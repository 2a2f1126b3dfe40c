/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pinned keys: whoever knows which key has to sign says so by the SHA-256 of
 * its SubjectPublicKeyInfo, and no other one is loaded, whatever the token
 * calls by the name.  What a token tells of a key is not believed for that:
 * the private key proves it by a trial signature.
 */
#include <openssl/crypto.h>
#include <openssl/x509.h>
#include <stdio.h>
#include "key.h"

/* In hexadecimal digits, as "openssl dgst -sha256" prints it. */
static CK_RV spki_sha256(struct prov_ctx *ctx, const EVP_PKEY *pub,
                         const char *where, char sha256[65],
                         struct p11_error *err)
{
    unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
    int len = i2d_PUBKEY(pub, &der);
    size_t digest_len = 0;
    int ok = len > 0 && EVP_Q_digest(ctx->libctx, "SHA256", PROV_NOT_OURS, der,
                                     (size_t)len, digest, &digest_len);

    OPENSSL_free(der);
    if (!ok)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "%s: no provider writes its public key or offers "
                             "SHA256; activate \"default\"",
                             where);
    for (size_t i = 0; i < digest_len; i++)
        (void)snprintf(sha256 + 2 * i, 3, "%02x", digest[i]);
    return CKR_OK;
}

static CK_RV check(const char *sha256, const char *pinned, const char *by,
                   const char *where, struct p11_error *err)
{
    if (pinned == NULL || p11_spki_has(pinned, sha256))
        return CKR_OK;
    return p11_error_set(err, P11_KEY_PINNED,
                         "%s: %s is not for this key, whose "
                         "SubjectPublicKeyInfo has the SHA-256 %s; do not use "
                         "it unless you know why it is another",
                         where, by, sha256);
}

CK_RV prov_spki_check(struct prov_ctx *ctx, const struct p11_uri *uri,
                      const EVP_PKEY *pub, const char *where,
                      struct p11_error *err)
{
    char sha256[65];
    CK_RV rv = CKR_OK;

    if (!uri->spki_sha256.present)
        return CKR_OK;
    rv = spki_sha256(ctx, pub, where, sha256, err);
    return rv == CKR_OK ? check(sha256, uri->spki_sha256.bytes,
                                "spki-sha256 in the URI", where, err)
                        : rv;
}

CK_RV prov_key_check_pinned(struct prov_key *key, const struct p11_uri *uri,
                            struct p11_error *err)
{
    const char *where = p11_key_where(key->token_key);
    const char *pinned = key->ctx->config.spki_sha256;
    char sha256[65];
    bool proved;
    CK_RV rv;

    if (key->pinned || (pinned == NULL && !uri->spki_sha256.present))
        return CKR_OK;
    rv = prov_key_learn_public(key, err);
    if (rv == CKR_OK)
        rv = spki_sha256(key->ctx, prov_key_public(key), where, sha256, err);
    if (rv == CKR_OK)
        rv = prov_spki_check(key->ctx, uri, prov_key_public(key), where, err);
    if (rv == CKR_OK)
        rv = check(sha256, pinned, "hsmsign-spki-sha256", where, err);
    if (rv == CKR_OK)
        rv = prov_key_prove(key, prov_key_public(key), &proved, err);
    if (rv == CKR_OK && !proved)
        rv = p11_error_set(err, P11_KEY_PINNED,
                           "%s: the token shows the public key that is pinned, "
                           "and signs with another one",
                           where);
    key->pinned = rv == CKR_OK;
    return rv;
}
