/* SPDX-License-Identifier: Apache-2.0 */
/* From a URI to a key: what the store and the PEM decoder share. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <stdio.h>
#include <string.h>
#include "sign.h"

struct prompt {
    OSSL_PASSPHRASE_CALLBACK *cb;
    void *arg;
};

static bool ask_for_pin(void *arg, const char *label, char *buf, size_t size,
                        size_t *len)
{
    struct prompt *prompt = arg;
    char info[80];
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PASSPHRASE_PARAM_INFO,
                                                   info, 0),
                            OSSL_PARAM_END };

    snprintf(info, sizeof(info), "token \"%s\" (its PIN)", label);
    params[0].data_size = strlen(info);
    return prompt->cb(buf, size, len, params, prompt->arg) > 0;
}

static CK_RV load(struct prov_ctx *ctx, const struct p11_uri *uri,
                  const struct p11_pin_request *request, struct prov_key *key,
                  struct p11_error *err)
{
    struct p11_module *module;
    const char *where;
    CK_RV rv;

    /* module-path chooses code to run: not for whoever gives the URI. */
    if (uri->module_path.present || uri->module_name.present)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "module-path and module-name are not taken from "
                             "a URI; set pkcs11-module-path or HSM_MODULE");
    rv = prov_module(ctx, &module, err);
    if (rv == CKR_OK)
        rv = p11_key_load(module, uri, request, &key->token_key, err);
    if (rv != CKR_OK)
        return rv;
    where = p11_key_where(key->token_key);
    key->alg = prov_alg_find(
        p11_key_type(key->token_key),
        p11_attrs_get(p11_key_attrs(key->token_key), CKA_EC_PARAMS));
    if (key->alg == NULL)
        return p11_error_set(err, P11_KEY_UNUSABLE,
                             "%s: key type 0x%lx; RSA, EC and Ed25519 keys "
                             "sign here",
                             where, p11_key_type(key->token_key));
    rv = prov_public_find(key, err);
    /* A key without curve could not even say how long its signatures are. */
    if (rv == CKR_OK && prov_sign_size(key) == 0)
        return p11_error_set(err, P11_KEY_UNUSABLE,
                             "%s: its curve or modulus cannot be read, or is "
                             "a curve that libcrypto does not have by name",
                             where);
    return rv;
}

CK_RV prov_key_load(struct prov_ctx *ctx, const struct p11_uri *uri,
                    OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg,
                    struct prov_key **key, struct p11_error *err)
{
    struct prompt prompt = { pw_cb, pw_arg };
    struct p11_pin_request request = {
        .uri = &uri->pin,
        .config = &ctx->config.pin,
        .prompt = pw_cb != NULL ? ask_for_pin : NULL,
        .prompt_arg = &prompt,
    };
    int saved = errno;
    CK_RV rv;

    *key = prov_key_new(ctx, NULL);
    if (*key == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a key");
    /* Tokens that use libcrypto leave their errors in our caller's queue. */
    ERR_set_mark();
    rv = load(ctx, uri, &request, *key, err);
    ERR_pop_to_mark();
    /* And in errno, at which some callers look first (Python's ssl). */
    errno = saved;
    if (rv != CKR_OK) {
        prov_key_free(*key);
        *key = NULL;
    }
    return rv;
}

int prov_key_hand_over(struct prov_key *key, OSSL_CALLBACK *cb, void *arg)
{
    struct prov_key *reference = key;
    int type = OSSL_OBJECT_PKEY, ok;
    OSSL_PARAM params[] = { OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
                            OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE,
                                                   (char *)key->alg->name, 0),
                            OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE,
                                                    &reference, sizeof(void *)),
                            OSSL_PARAM_END };

    params[1].data_size = strlen(key->alg->name);
    prov_key_up_ref(key);
    ok = cb(params, arg);
    /* load() sets it to NULL when it takes it. */
    prov_key_free(reference);
    return ok;
}
