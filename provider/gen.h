/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key generation, as provider-keymgmt(7) has it: the rows of gen.c in the
 * dispatch table of each type of key.
 */
#ifndef HSMSIGN_GEN_H
#define HSMSIGN_GEN_H

#include "core.h"

/* What is to be done where a key was wanted on a token. */
#define PROV_GEN_HINT                                                          \
    "keys are made on a token only, which pkcs11_uri has to name (-pkeyopt "   \
    "'pkcs11_uri:pkcs11:token=...;object=...'); other keys come from "         \
    "\"default\", which should stand before hsmsign in openssl.cnf"

/* libcrypto does not tell "gen_init" the type: each has one that calls this. */
void *prov_gen_init(void *provctx, const struct prov_alg *alg, int selection,
                    const OSSL_PARAM params[]);
OSSL_FUNC_keymgmt_gen_set_template_fn prov_gen_set_template;
OSSL_FUNC_keymgmt_gen_set_params_fn prov_gen_set_params;
OSSL_FUNC_keymgmt_gen_settable_params_fn prov_gen_settable_params;
OSSL_FUNC_keymgmt_gen_fn prov_gen;
OSSL_FUNC_keymgmt_gen_cleanup_fn prov_gen_cleanup;

#define PROV_GEN(init)                                                         \
    PROV_FN(KEYMGMT_GEN_INIT, init),                                           \
        PROV_FN(KEYMGMT_GEN_SET_TEMPLATE, prov_gen_set_template),              \
        PROV_FN(KEYMGMT_GEN_SET_PARAMS, prov_gen_set_params),                  \
        PROV_FN(KEYMGMT_GEN_SETTABLE_PARAMS, prov_gen_settable_params),        \
        PROV_FN(KEYMGMT_GEN, prov_gen),                                        \
        PROV_FN(KEYMGMT_GEN_CLEANUP, prov_gen_cleanup)

#endif
