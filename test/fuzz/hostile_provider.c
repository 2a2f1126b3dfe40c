/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include "fuzz.h"
#include "hostile_provider.h"
#include "provider/guard.h"
#include "provider/loader.h"
#include "provider/objects.h"
#include "provider/sign.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* What is released at most of one listing. */
#define OBJECTS_MAX 8

static struct prov_ctx ctx;
static OSSL_PROVIDER *provider;

static void clean_up(void)
{
    for (size_t i = 0; i < PROV_DIGESTS; i++)
        EVP_MD_free(ctx.digests[i]);
    (void)OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(ctx.libctx);
}

void hostile_provider_init(const char *path)
{
    ctx.libctx = OSSL_LIB_CTX_new();
    provider = OSSL_PROVIDER_load(ctx.libctx, "default");
    ctx.config.module_path = (char *)path;
    fuzz_check(ctx.libctx != NULL && provider != NULL && atexit(clean_up) == 0,
               "no library context");
}

static void begin(struct p11_module *module, const struct p11_uri *uri,
                  const struct p11_pin_source *pin, struct prov_load *load)
{
    ctx.module = module;
    prov_load_init(load, &ctx, uri, pin, NULL, NULL);
}

/* Not by the code that is tested; only of EC is a signature ever right. */
static void check_released(const struct prov_key *key,
                           const struct sig_params *params,
                           const unsigned char *digest, size_t digest_len,
                           const unsigned char *sig, size_t len)
{
    EVP_PKEY_CTX *verify =
        EVP_PKEY_CTX_new_from_pkey(ctx.libctx, prov_key_public(key), NULL);

    fuzz_check(verify != NULL, "a signature without a public key");
    if (key->alg == &prov_alg_ec && params->md != NULL)
        fuzz_check(EVP_PKEY_verify_init(verify) > 0 &&
                       EVP_PKEY_verify(verify, sig, len, digest, digest_len) ==
                           1,
                   "a wrong signature was released");
    EVP_PKEY_CTX_free(verify);
}

static CK_RV sign(struct prov_key *key, unsigned with, struct p11_error *err)
{
    static const int pads[] = { RSA_PKCS1_PADDING, RSA_PKCS1_PSS_PADDING,
                                RSA_NO_PADDING };
    static const unsigned char digest[32] = { 1 };
    const struct sig_params params = {
        .pad = pads[with / 2 % COUNT(pads)],
        .md = with / 2 % COUNT(pads) == 2 ? NULL : prov_digest_find("SHA256"),
        .salt_len = RSA_PSS_SALTLEN_DIGEST,
    };
    size_t size = prov_sign_size(key), len = 0;
    unsigned char *sig = malloc(size);
    struct prov_signed made = {
        &params, digest, sizeof(digest), sig, size, 0, 0
    };
    CK_RV rv;

    fuzz_check(size > 0 && size <= PROV_SIGNATURE_MAX && sig != NULL,
               "a key without a size");
    for (size_t i = 0; i < size; i++)
        sig[i] = 0xa5;
    ctx.config.guarded = true;
    ctx.config.verify = with % 2 != 0 ? PROV_VERIFY_ON : PROV_VERIFY_OFF;
    rv = prov_sign_guarded(key, &made, err);
    len = made.sig_len;
    fuzz_check(rv != CKR_OK || (len > 0 && len <= size),
               "a signature longer than its buffer");
    for (size_t i = 0; rv != CKR_OK && i < size; i++)
        fuzz_check(sig[i] == 0, "what was not released is there");
    if (rv == CKR_OK && with % 2 != 0)
        check_released(key, &params, digest, sizeof(digest), sig, len);
    free(sig);
    return rv;
}

CK_RV hostile_provider_sign(struct p11_module *module,
                            const struct p11_uri *uri,
                            const struct p11_pin_source *pin, unsigned with,
                            struct p11_error *err)
{
    struct prov_load load;
    struct prov_key *key = NULL;
    CK_RV rv;

    begin(module, uri, pin, &load);
    rv = prov_load_key(&load, &key, err);
    fuzz_check((rv == CKR_OK) == (key != NULL), "a key, or none");
    fuzz_check(ERR_peek_error() == 0, "an error of prov_load_key()");
    if (rv == CKR_OK)
        rv = sign(key, with, err);
    ERR_clear_error();
    prov_key_free(key);
    return rv;
}

CK_RV hostile_provider_list(struct p11_module *module,
                            const struct p11_uri *uri,
                            const struct p11_pin_source *pin, unsigned with,
                            struct p11_error *err)
{
    struct prov_objects objects = { .listing = with % 2 != 0 };
    struct prov_object object;
    struct prov_load load;
    CK_RV rv;

    begin(module, uri, pin, &load);
    rv = prov_objects_want(&objects, 0, &uri->type, err);
    for (int i = 0; i < OBJECTS_MAX && rv == CKR_OK; i++) {
        object = (struct prov_object){ 0 };
        rv = prov_objects_next(&objects, &load, &object, err);
        fuzz_check(object.certificate == NULL ||
                       object.certificate->ulValueLen > 0,
                   "an empty certificate");
        prov_key_free(object.key);
    }
    fuzz_check(ERR_peek_error() == 0, "an error of prov_objects_next()");
    prov_objects_clear(&objects);
    return rv;
}
