/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A key as libcrypto holds it: a private key on a token, with its public half
 * as an ordinary EVP_PKEY of another provider; or such a public half alone.
 *
 * Immutable, except that a public half that was not known can become known,
 * once.  Shared by reference.
 */
#ifndef HSMSIGN_PROV_KEY_H
#define HSMSIGN_PROV_KEY_H

#include <stdbool.h>
#include <openssl/evp.h>
#include "core.h"
#include "pkcs11/key.h"

/* In bytes: the longest RSA modulus, and the longest signature: ML-DSA-87. */
#define PROV_MODULUS_MAX   2048
#define PROV_SIGNATURE_MAX 4627

/* A signature that proves something about the public half. */
struct prov_trial {
    const char *text; /* what was signed; static */
    size_t len;
    unsigned char sig[PROV_SIGNATURE_MAX];
};

/* RFC 4055, 3.1: what the public key of an RSA-PSS key allows. */
struct prov_pss_limits {
    const struct prov_digest *md, *mgf1; /* NULL: any */
    long min_salt;                       /* bytes */
};

struct sig_params;

struct prov_key {
    atomic_uint refs;
    struct prov_ctx *ctx;
    const struct prov_alg *alg;
    struct p11_key *token_key; /* owned; NULL for a public key */
    EVP_PKEY *params;          /* owned; EC: the curve alone; may be NULL */
    _Atomic(EVP_PKEY *) pub;   /* owned; NULL while not known */
    bool agrees; /* pub is a pair, for key agreement alone (exchange.h) */
    bool pinned; /* the public half was asked for and proved: spki.c */
    struct prov_pss_limits limits;
    atomic_ulong checked; /* p11_key_times_found() when it was the same */
    /* hsmsign-verify: 1 more than that, when one was right; 0: none was. */
    atomic_ulong verified, since_verified;
    _Atomic(struct prov_trial *) trial; /* owned; NULL: none made yet */
    /*
     * RSA-PSS that the token refuses and that is padded here: by digest, bits
     * of the MGF1 digests; both are rows of prov_digests.
     */
    atomic_uint pss_here[PROV_DIGESTS];
};

/* A key without anything, of one reference; NULL when memory is short. */
struct prov_key *prov_key_new(struct prov_ctx *ctx, const struct prov_alg *alg);
void prov_key_up_ref(struct prov_key *key);
void prov_key_free(struct prov_key *key);

/* The public half, the key's; NULL while not known. */
EVP_PKEY *prov_key_public(const struct prov_key *key);
/* The same, or else what holds the key's domain parameters; may be NULL. */
EVP_PKEY *prov_key_params(const struct prov_key *key);

/* Whether pub is of the key's type, and its curve or modulus, if known. */
bool prov_key_fits(const struct prov_key *key, const EVP_PKEY *pub);

/* The size of the key in bits; 0 while not known. */
int prov_key_bits(const struct prov_key *key);

/* Make pub the public half; takes the reference.  The first one stays. */
void prov_key_set_public(struct prov_key *key, EVP_PKEY *pub);

/*
 * Whether candidate is the public half of key: by one trial signature on the
 * token, made once for each key, that candidate verifies.  Returns CKR_OK and
 * *proved, or why the token did not sign.  Blocks.
 */
CK_RV prov_key_prove(struct prov_key *key, EVP_PKEY *candidate, bool *proved,
                     struct p11_error *err);

/*
 * See that the public half is known, for whom nothing else will do: that of an
 * EC key which is not known yet is told by two signatures, and then known.
 * Returns CKR_OK, P11_NO_PUBLIC, or why the token did not sign.  Blocks.
 */
CK_RV prov_key_learn_public(struct prov_key *key, struct p11_error *err);
/* The same: the public half, or NULL with the reason raised. */
EVP_PKEY *prov_key_need_public(struct prov_key *key);

/* Sign text on the token; see whether pub verifies what was signed. */
CK_RV prov_trial_make(struct prov_key *key, const char *text,
                      struct prov_trial *trial, struct p11_error *err);
bool prov_trial_verifies(const struct prov_key *key, EVP_PKEY *pub,
                         const struct prov_trial *trial);

/* A signature, and what it was made of: prov_sign()'s arguments. */
struct prov_signed {
    const struct sig_params *params;
    const unsigned char *in;
    size_t len;
    unsigned char *sig;
    size_t size, sig_len;
    unsigned long found; /* p11_key_times_found() before */
};
/* For prov_key_check_same(). */
CK_RV prov_key_check_again(struct prov_key *key, const struct prov_signed *made,
                           struct p11_error *err);
/*
 * A private key that was just loaded: whether it is the one that the URI or
 * hsmsign-spki-sha256 pins, if one does.  Returns CKR_OK, P11_KEY_PINNED, or
 * what prov_key_learn_public() and prov_key_prove() return.  Blocks for one
 * trial signature.  And whether pub is the one that the URI pins.
 */
CK_RV prov_key_check_pinned(struct prov_key *key, const struct p11_uri *uri,
                            struct p11_error *err);
CK_RV prov_spki_check(struct prov_ctx *ctx, const struct p11_uri *uri,
                      const EVP_PKEY *pub, const char *where,
                      struct p11_error *err);

/*
 * After a signature: whether the key that made it is the one that was loaded.
 * Costs nothing, unless the key was looked up again since; then the public
 * half, if there is one, has to verify the signature.  Returns CKR_OK or
 * P11_KEY_CHANGED.
 */
static inline CK_RV prov_key_check_same(struct prov_key *key,
                                        const struct prov_signed *made,
                                        struct p11_error *err)
{
    return p11_key_times_found(key->token_key) ==
                   atomic_load_explicit(&key->checked, memory_order_relaxed)
               ? CKR_OK
               : prov_key_check_again(key, made, err);
}

/*
 * From what the token says of a key to an EVP_PKEY in the context's child
 * library context, to be freed by the caller; NULL when the attributes do not
 * suffice or are malformed.
 *
 * attrs   of a private or public key: CKA_MODULUS and CKA_PUBLIC_EXPONENT;
 *         CKA_EC_PARAMS and CKA_EC_POINT (a DER OCTET STRING as PKCS #11
 *         v2.40 has it, or the bare point); CKA_KEY_TYPE and CKA_VALUE of an
 *         ML-DSA public key; or CKA_PUBLIC_KEY_INFO; of a certificate, which
 *         has no CKA_KEY_TYPE: CKA_VALUE
 * params  where CKA_EC_PARAMS are taken from if attrs lacks them; may be NULL
 */
EVP_PKEY *prov_pubkey(struct prov_ctx *ctx, const struct prov_alg *alg,
                      const struct p11_attrs *attrs,
                      const struct p11_attrs *params);
/* Whether two keys are RSA or RSA-PSS keys of one modulus. */
bool prov_pubkey_same_modulus(const EVP_PKEY *a, const EVP_PKEY *b);
/* As much as is known without: EC: the curve; RSA: n, with e = 65537. */
EVP_PKEY *prov_pubkey_params(struct prov_ctx *ctx, const struct prov_alg *alg,
                             const struct p11_attrs *attrs);
/* From libcrypto's parameters; selection is EVP_PKEY_fromdata()'s. */
EVP_PKEY *prov_pubkey_from_params(struct prov_ctx *ctx, const char *name,
                                  int selection, const OSSL_PARAM *params);
/* From a DER certificate, and from a DER SubjectPublicKeyInfo. */
EVP_PKEY *prov_pubkey_certificate(struct prov_ctx *ctx,
                                  const unsigned char *der, size_t len);
EVP_PKEY *prov_pubkey_info(struct prov_ctx *ctx, const unsigned char *der,
                           size_t len);

/*
 * Find the public half of a private key that was just loaded: from the
 * private object, the configured file, or the token's public objects and
 * certificates.  That there is none is no error.  Returns CKR_OK, P11_CONFIG
 * (the configured file cannot be read), or what a call answered.  Blocks.
 */
CK_RV prov_public_find(struct prov_key *key, struct p11_error *err);
/*
 * The part of that which asks the token nothing: what the private object's
 * attributes say, and of an RSA key what the configured file says of it.
 */
CK_RV prov_public_read(struct prov_key *key, struct p11_error *err);

/*
 * Give libcrypto a reference of its own to key, through cb, as an object
 * reference for keymgmt's load function.  Returns what cb returns.
 */
int prov_key_hand_over(struct prov_key *key, OSSL_CALLBACK *cb, void *arg);

#endif
