/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A signature context: parameters and a running digest, nothing of the token,
 * so that it can be duplicated at any point.
 */
#ifndef HSMSIGN_SIGCTX_H
#define HSMSIGN_SIGCTX_H

#include <openssl/evp.h>
#include "key.h"
#include "sign.h"

struct sig_ctx {
    struct prov_ctx *prov;
    struct prov_key *key; /* owned reference; NULL before an init */
    char *propq;          /* owned; the caller's property query, or NULL */
    struct sig_params params;
    EVP_MD *md;        /* owned; NULL: none */
    EVP_MD_CTX *mdctx; /* owned; made by the first update */
    bool md_fixed;     /* DigestSign: the digest is part of the operation */
    bool finished;     /* the running digest was: nothing more to add */
    bool salt_given;   /* else: as the default provider does */

    /* Verification is another provider's, with the public half. */
    EVP_PKEY_CTX *verify;  /* owned, or of verify_md */
    EVP_MD_CTX *verify_md; /* owned */
};

/* Set the digest by name; NULL or "" for none.  Returns 1, or 0 raised. */
int prov_sigctx_set_digest(struct sig_ctx *ctx, const char *name,
                           const char *propq);

/* OSSL_FUNC_signature_{set,get}_ctx_params and what goes with them. */
int prov_sigctx_set_params(void *vctx, const OSSL_PARAM params[]);
const OSSL_PARAM *prov_sigctx_settable_params(void *vctx, void *provctx);
int prov_sigctx_get_params(void *vctx, OSSL_PARAM params[]);
const OSSL_PARAM *prov_sigctx_gettable_params(void *vctx, void *provctx);

/* Where no salt length was given, take the default provider's. */
void prov_sigctx_settle_salt(struct sig_ctx *ctx);

#endif
