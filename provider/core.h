/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's context: what libcrypto's core offers us, the options, the
 * child library context in which other providers' algorithms are fetched, and
 * the PKCS #11 module once it is loaded.
 */
#ifndef HSMSIGN_CORE_H
#define HSMSIGN_CORE_H

#include <stdatomic.h>
#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include "alg.h"
#include "config.h"
#include "pkcs11/module.h"
#include "pkcs11/rv.h"

/* The property of all our algorithms, and how to ask for anything else. */
#define PROV_PROPERTIES "provider=hsmsign"
#define PROV_NOT_OURS   "provider!=hsmsign"

/* The PEM block that wraps a URI; encoder.c writes what decoder.c reads. */
#define PROV_URI_LABEL   "PKCS#11 PROVIDER URI"
#define PROV_URI_VERSION "PKCS#11 Provider URI v1.0"

/* The name of the one signature operation, which serves all types of key. */
#define PROV_SIGNATURE "HSMSIGN"

/* One row of a dispatch table. */
#define PROV_FN(id, function)                                                  \
    {                                                                          \
        OSSL_FUNC_##id, (void (*)(void))(function)                             \
    }

/* provider-signature(7), since OpenSSL 3.4. */
#ifndef OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES
#define OSSL_FUNC_SIGNATURE_QUERY_KEY_TYPES       26
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT     27
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_UPDATE   28
#define OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_FINAL    29
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_INIT   30
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_UPDATE 31
#define OSSL_FUNC_SIGNATURE_VERIFY_MESSAGE_FINAL  32
#endif

/* An operation's algorithms; fips: with pkcs11-module-assume-fips. */
struct prov_offer {
    int operation;
    const OSSL_ALGORITHM *plain, *fips;
};
#define PROV_OFFER(name, list)                                                 \
    {                                                                          \
        .operation = OSSL_OP_##name,                                           \
        .plain = (const OSSL_ALGORITHM[])list(PROV_PROPERTIES),                \
        .fips = (const OSSL_ALGORITHM[])list(PROV_PROPERTIES ",fips=yes"),     \
    }
extern const struct prov_offer prov_keymgmts, prov_signatures,
    prov_named_signatures, prov_stores, prov_decoders, prov_encoders,
    prov_exchanges;

/* More than the rows of pkcs11/rv. */
#define PROV_REASONS 255

struct prov_ctx {
    struct prov_ctx *next; /* in the list of live providers */
    const OSSL_CORE_HANDLE *handle;
    /* Upcalls (provider-base(7)). */
    OSSL_FUNC_core_get_params_fn *get_params;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_provider_up_ref_fn *up_ref; /* may be NULL */

    OSSL_LIB_CTX *libctx; /* a child of the caller's */
    struct prov_config config;
    _Atomic(struct p11_module *) module; /* NULL until the first URI */
    /* A digest that was fetched stays: one per row of prov_digests. */
    _Atomic(EVP_MD *) digests[PROV_DIGESTS];
    OSSL_ITEM reasons[PROV_REASONS + 1]; /* ends with id 0 */
};

/* Returns 1, or 0 when an upcall is missing. */
int prov_core_init(struct prov_ctx *ctx, const OSSL_DISPATCH *in);

/*
 * The module, loaded at the first call.  Raises nothing; err is filled.
 * Blocks in C_Initialize.
 */
CK_RV prov_module(struct prov_ctx *ctx, struct p11_module **module,
                  struct p11_error *err);

/*
 * Put err, or a CK_RV with a text of its own, in OpenSSL's error queue, once,
 * with the place in our source.  Returns 0, so that "return prov_raise(ctx,
 * &err)" reads well.  The only place where a CK_RV becomes an OpenSSL result.
 */
#define prov_raise(ctx, err) prov_raise_rv((ctx), (err)->rv, "%s", (err)->text)
#define prov_raise_rv(ctx, ...)                                                \
    prov_raise_at((ctx), __FILE__, __LINE__, __func__, __VA_ARGS__)
int prov_raise_at(const struct prov_ctx *ctx, const char *file, int line,
                  const char *function, CK_RV rv, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* Those of params that stats.c has.  Returns 1 or 0. */
int prov_stats(const struct prov_ctx *ctx, OSSL_PARAM params[]);

/* The reasons that prov_raise() gives, for OSSL_FUNC_PROVIDER_GET_REASON... */
const OSSL_ITEM *prov_reasons(void *provctx);

/* Set the parameter of that name, if it is among params.  Returns 1 or 0. */
int prov_set_text(OSSL_PARAM params[], const char *name, const char *text);

/*
 * The caller's property query without its provider terms, which are about us
 * and not about what we fetch, and with PROV_NOT_OURS.  To be freed with
 * OPENSSL_free(); NULL when memory is short.
 */
char *prov_other_properties(const char *propq);

#endif
