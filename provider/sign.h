/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signature on a token: from a digest, and parameters as libcrypto has
 * them, to what a PKCS #11 mechanism takes; and from what the token answers
 * to the signature as the rest of the world has it.
 */
#ifndef HSMSIGN_SIGN_H
#define HSMSIGN_SIGN_H

#include "key.h"

/* RSA_PSS_SALTLEN_AUTO_DIGEST_MAX of OpenSSL 3.1. */
#define PROV_PSS_SALTLEN_AUTO_DIGEST_MAX (-4)

/* FIPS 204, 5.2: a context string, in bytes. */
#define PROV_CONTEXT_MAX 255

struct sig_params {
    int pad; /* RSA_PKCS1_, RSA_PKCS1_PSS_ or RSA_NO_PADDING; RSA keys only */
    const struct prov_digest *md;   /* NULL: what is signed is no digest */
    const struct prov_digest *mgf1; /* NULL: the same as md */
    int salt_len;                   /* PSS: bytes, or RSA_PSS_SALTLEN_* */
    /* ML-DSA; FIPS 204, 5.2. */
    bool deterministic;
    size_t context_len;
    unsigned char context[PROV_CONTEXT_MAX];
};

/*
 * The longest signature that the key makes, in bytes; exact for RSA, EdDSA and
 * ML-DSA.  0 if the key's size is not known.  Does not reach the token.
 */
size_t prov_sign_size(const struct prov_key *key);

/* The mechanism of C_SignInit for such a signature, as far as is known. */
CK_MECHANISM_TYPE prov_sign_mechanism(const struct prov_key *key,
                                      const struct sig_params *params);

/* The length of the salt that params mean; < 0: there is no room. */
long prov_pss_salt(const struct prov_key *key, const struct sig_params *params);

/*
 * Sign: one C_SignInit and one C_Sign.  PSS that the token refuses is padded
 * here and signed without padding; the first time this costs one more
 * C_SignInit and a new session.
 *
 * in, len   the digest if params->md is set, else what the mechanism takes:
 *           up to the modulus' length less 11 bytes for RSA, the modulus'
 *           length for RSA without padding, a digest of any length for EC, the
 *           whole message for EdDSA and ML-DSA
 * sig, size a buffer apart from in, and its size in bytes, at least
 *           prov_sign_size()
 * sig_len   receives the signature's length
 *
 * Returns CKR_OK, P11_DIGEST, P11_PARAMETER, P11_KEY_NO_SIGN, or what
 * p11_key_sign() returns.  Blocks.
 */
CK_RV prov_sign(struct prov_key *key, const struct sig_params *params,
                const unsigned char *in, size_t len, unsigned char *sig,
                size_t size, size_t *sig_len, struct p11_error *err);

/*
 * A signature context: parameters and a running digest, nothing of the token,
 * so that it can be duplicated at any point.
 */
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

    /* What the name of the algorithm says: see sigalg.c. */
    const char *digest; /* NULL: nothing; static */
    bool message;       /* what is signed is hashed first */

    /* Verification is another provider's, with the public half. */
    EVP_PKEY_CTX *verify;    /* owned, or of verify_md */
    EVP_MD_CTX *verify_md;   /* owned */
    unsigned char *expected; /* owned; the signature, if it came first */
    size_t expected_len;
};

/* Set the digest by name; NULL or "" for none.  Returns 1, or 0 raised. */
int prov_sigctx_set_digest(struct sig_ctx *ctx, const char *name,
                           const char *propq);

/* Begin with what an RSA-PSS key is limited to.  Returns 1, or 0 raised. */
int prov_sigctx_set_limits(struct sig_ctx *ctx);

/* OSSL_FUNC_signature_{set,get}_ctx_params and what goes with them. */
int prov_sigctx_set_params(void *vctx, const OSSL_PARAM params[]);
const OSSL_PARAM *prov_sigctx_settable_params(void *vctx, void *provctx);
int prov_sigctx_get_params(void *vctx, OSSL_PARAM params[]);
const OSSL_PARAM *prov_sigctx_gettable_params(void *vctx, void *provctx);

/* Those of PROV_SIGNATURE. */
extern const OSSL_DISPATCH prov_signature_functions[];

/* digest as in sig_ctx.  To be freed by prov_sig_freectx(). */
struct sig_ctx *prov_sig_newctx(struct prov_ctx *prov, const char *propq,
                                const char *digest);
/* provider-signature(7): OSSL_FUNC_signature_*, for the dispatch tables. */
void prov_sig_freectx(void *vctx);
void *prov_sig_dupctx(void *vctx);
int prov_sig_sign_init(void *vctx, void *keydata, const OSSL_PARAM params[]);
int prov_sig_sign(void *vctx, unsigned char *sig, size_t *siglen,
                  size_t sigsize, const unsigned char *tbs, size_t tbslen);
int prov_sig_sign_message_init(void *vctx, void *keydata,
                               const OSSL_PARAM params[]);
int prov_sig_digest_update(void *vctx, const unsigned char *data, size_t len);
int prov_sig_digest_sign_final(void *vctx, unsigned char *sig, size_t *siglen,
                               size_t sigsize);
int prov_sig_verify_init(void *vctx, void *keydata, const OSSL_PARAM params[]);
int prov_sig_verify(void *vctx, const unsigned char *sig, size_t siglen,
                    const unsigned char *tbs, size_t tbslen);
int prov_sig_verify_message_init(void *vctx, void *keydata,
                                 const OSSL_PARAM params[]);
int prov_sig_verify_message_final(void *vctx);
int prov_sig_verify_recover_init(void *vctx, void *keydata,
                                 const OSSL_PARAM params[]);
int prov_sig_verify_recover(void *vctx, unsigned char *rout, size_t *routlen,
                            size_t routsize, const unsigned char *sig,
                            size_t siglen);

/* Where no salt length was given, take the default provider's. */
void prov_sigctx_settle_salt(struct sig_ctx *ctx);

#endif
