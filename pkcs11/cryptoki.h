/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names and values of PKCS #11, from the system's copy of the OASIS
 * definitions (package libp11-kit-dev), and the few that older copies lack.
 */
#ifndef HSMSIGN_CRYPTOKI_H
#define HSMSIGN_CRYPTOKI_H

#include <p11-kit/pkcs11.h>

/* PKCS #11 v2.40, 4.9: the SubjectPublicKeyInfo of a private key. */
#ifndef CKA_PUBLIC_KEY_INFO
#define CKA_PUBLIC_KEY_INFO 0x129UL
#endif

/* PKCS #11 v3.0, 2.3.5 and 2.3.14: Edwards curves. */
#ifndef CKK_EC_EDWARDS
#define CKK_EC_EDWARDS 0x40UL
#endif
#ifndef CKM_EDDSA
#define CKM_EDDSA 0x1057UL
#endif

struct p11_eddsa_params { /* CK_EDDSA_PARAMS, which 2.40 headers lack */
    CK_BBOOL phFlag;
    CK_ULONG ulContextDataLen;
    CK_BYTE *pContextData;
};

/* PKCS #11 v3.2, 6.67: ML-DSA. */
#ifndef CKK_ML_DSA
#define CKK_ML_DSA              0x4aUL
#define CKM_ML_DSA_KEY_PAIR_GEN 0x1cUL
#define CKM_ML_DSA              0x1dUL
#define CKP_ML_DSA_44           1UL
#define CKP_ML_DSA_65           2UL
#define CKP_ML_DSA_87           3UL
#endif
#ifndef CKA_PARAMETER_SET
#define CKA_PARAMETER_SET 0x61dUL
#endif
#ifndef CKH_HEDGE_PREFERRED
#define CKH_HEDGE_PREFERRED        0UL
#define CKH_DETERMINISTIC_REQUIRED 2UL
#endif

struct p11_sign_context { /* CK_SIGN_ADDITIONAL_CONTEXT */
    CK_ULONG hedgeVariant;
    CK_BYTE *pContext;
    CK_ULONG ulContextLen;
};

/* PKCS #11 v3.0, 2.1.7 and 2.24: SHA-3. */
#ifndef CKM_SHA3_224
#define CKM_SHA3_224 0x2b5UL
#define CKM_SHA3_256 0x2b0UL
#define CKM_SHA3_384 0x2c0UL
#define CKM_SHA3_512 0x2d0UL
#endif
#ifndef CKM_SHA3_256_RSA_PKCS_PSS
#define CKM_SHA3_256_RSA_PKCS_PSS 0x63UL
#define CKM_SHA3_384_RSA_PKCS_PSS 0x64UL
#define CKM_SHA3_512_RSA_PKCS_PSS 0x65UL
#define CKM_SHA3_224_RSA_PKCS_PSS 0x67UL
#endif
#ifndef CKG_MGF1_SHA3_224
#define CKG_MGF1_SHA3_224 0x6UL
#define CKG_MGF1_SHA3_256 0x7UL
#define CKG_MGF1_SHA3_384 0x8UL
#define CKG_MGF1_SHA3_512 0x9UL
#endif

/* The same, 5.1.6: an answer. */
#ifndef CKR_TOKEN_RESOURCE_EXCEEDED
#define CKR_TOKEN_RESOURCE_EXCEEDED 0x201UL
#endif

#endif
