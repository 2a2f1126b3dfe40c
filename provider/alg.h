/* SPDX-License-Identifier: Apache-2.0 */
/* Key types and digests: what differs between them, as data. */
#ifndef HSMSIGN_ALG_H
#define HSMSIGN_ALG_H

#include <stdbool.h>
#include <stddef.h>
#include <openssl/evp.h>
#include "pkcs11/cryptoki.h"

/* A type of key that can sign. */
struct prov_alg {
    CK_KEY_TYPE key_type;
    const char *name; /* libcrypto's: "RSA", "EC", "ED448" */
    /* What a signature is of; NULL: of the message itself, not of a digest. */
    const char *default_digest;
    int pad; /* that signatures begin with; RSA only */
    /* For a key whose public half is not known; 0: from the parameters. */
    int bits, security_bits, max_size;
    /* AlgorithmIdentifier, where it depends on nothing; DER. */
    const char *algorithm_id;
    size_t algorithm_id_len;
    CK_ULONG parameter_set; /* CKP_ML_DSA_*; 0: it has none */
};

extern const struct prov_alg prov_alg_rsa, prov_alg_rsa_pss, prov_alg_ec,
    prov_alg_ed25519, prov_alg_ed448, prov_alg_ml_dsa_44, prov_alg_ml_dsa_65,
    prov_alg_ml_dsa_87;

struct p11_attrs;
struct p11_error;
struct prov_ctx;

/*
 * The row for a token's key: by CKA_KEY_TYPE, CKA_EC_PARAMS if that is
 * CKK_EC_EDWARDS, CKA_PARAMETER_SET if it is CKK_ML_DSA.  NULL for a key that
 * we do not handle.
 */
const struct prov_alg *prov_alg_find(const struct p11_attrs *attrs);

/*
 * Whether another provider has such keys, as we need for the public half.
 * Returns CKR_OK, or P11_KEY_UNUSABLE with where in the text; raises nothing.
 */
CK_RV prov_alg_check(struct prov_ctx *ctx, const struct prov_alg *alg,
                     const char *where, struct p11_error *err);

/* Whether CKA_ALLOWED_MECHANISMS (NULL: none) has RSA-PSS and nothing else. */
bool prov_alg_pss_alone(const CK_ATTRIBUTE *allowed);

/* A digest that a token can be told of. */
struct prov_digest {
    const char *name, *alias; /* libcrypto's; programs say both */
    size_t size;              /* bytes */
    CK_MECHANISM_TYPE mechanism;
    CK_RSA_PKCS_MGF_TYPE mgf; /* MGF1 with this digest; 0: none defined */
    /* RFC 8017, 9.2: what comes before the digest in a DigestInfo; DER. */
    unsigned char prefix[20];
};

#define PROV_DIGESTS 11
extern const struct prov_digest prov_digests[PROV_DIGESTS];

/* The row of the digest called name; NULL if there is none. */
const struct prov_digest *prov_digest_find(const char *name);

/*
 * The digest called name, fetched with the caller's property query (NULL for
 * none); *row receives its row, NULL if it has none.  The EVP_MD is to be
 * freed by the caller.  NULL if there is no such digest.  The second call for
 * a digest without property query fetches nothing.
 */
EVP_MD *prov_digest_fetch(struct prov_ctx *ctx, const char *name,
                          const char *propq, const struct prov_digest **row);

#endif
