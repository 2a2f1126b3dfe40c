/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making keys on a token through EVP_PKEY_generate(), with the parameters that
 * pkcs11-provider has: "pkcs11_uri" names the token and the new key.
 *
 * Without it nothing is made on a token.  A program that never heard of tokens
 * may get here, when this provider stands before "default" in openssl.cnf or in
 * the property query: it wants a key in memory, and must not get one on
 * whichever token is there.  For EC it gets one that only agrees (exchange.h).
 *
 * What is wrong with the URI is said when the key is made: openssl genpkey
 * prints a parameter that is refused, and a PIN may stand in it.
 */
#include "gen.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>
#include "exchange.h"
#include "key.h"
#include "loader.h"
#include "pkcs11/generate.h"

#define PARAM_URI       "pkcs11_uri"
#define PARAM_KEY_USAGE "pkcs11_key_usage"

/* The one value that these can have. */
#define USAGE    "digitalSignature"
#define ENCODING OSSL_PKEY_EC_ENCODING_GROUP

/* In bytes: the CKA_ID of a key that is given none; texts with their NUL. */
#define RANDOM_ID 16
#define TEXT_MAX  80

/* In bits; below, nobody should sign; above, no signature fits. */
#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX ((size_t)PROV_MODULUS_MAX * 8)

struct gen_ctx {
    struct prov_ctx *prov;
    const struct prov_alg *alg;
    struct p11_uri *uri;  /* owned; NULL: not given, or not valid */
    struct p11_error err; /* why it is not valid */
    bool pair;            /* false: a curve alone is wanted */
    size_t bits;          /* RSA */
    char group[TEXT_MAX]; /* EC; "": not given */
};

void *prov_gen_init(void *provctx, const struct prov_alg *alg, int selection,
                    const OSSL_PARAM params[])
{
    struct gen_ctx *gen;

    if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0 && alg != &prov_alg_ec) {
        prov_raise_rv(provctx, P11_UNSUPPORTED,
                      "parameters without a key come from \"default\"");
        return NULL;
    }
    gen = OPENSSL_zalloc(sizeof(*gen));
    if (gen == NULL)
        return NULL;
    gen->prov = provctx;
    gen->alg = alg;
    gen->pair = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
    gen->bits = RSA_BITS_MIN; /* as "default" */
    if (!prov_gen_set_params(gen, params)) {
        prov_gen_cleanup(gen);
        return NULL;
    }
    return gen;
}

void prov_gen_cleanup(void *genctx)
{
    struct gen_ctx *gen = genctx;

    if (gen == NULL)
        return;
    p11_uri_free(gen->uri);
    OPENSSL_free(gen);
}

/* One list for all types: libcrypto asks without a context. */
const OSSL_PARAM *prov_gen_settable_params(void *genctx, void *provctx)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(PARAM_URI, NULL, 0),
        OSSL_PARAM_utf8_string(PARAM_KEY_USAGE, NULL, 0),
        OSSL_PARAM_size_t(OSSL_PKEY_PARAM_RSA_BITS, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, NULL, 0),
        OSSL_PARAM_END
    };

    (void)genctx;
    (void)provctx;
    return settable;
}

static int set_uri(struct gen_ctx *gen, const OSSL_PARAM *p)
{
    char *text = NULL;

    if (!OSSL_PARAM_get_utf8_string(p, &text, 0))
        return 0;
    p11_uri_free(gen->uri);
    gen->uri = NULL;
    gen->err.rv = p11_uri_parse(text, &gen->uri, &gen->err);
    OPENSSL_clear_free(text, strlen(text));
    return 1;
}

static bool get_text(const OSSL_PARAM params[], const char *name,
                     char text[TEXT_MAX])
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);

    return p == NULL || OSSL_PARAM_get_utf8_string(p, &text, TEXT_MAX);
}

int prov_gen_set_params(void *genctx, const OSSL_PARAM params[])
{
    struct gen_ctx *gen = genctx;
    const OSSL_PARAM *p;
    char usage[TEXT_MAX] = USAGE, encoding[TEXT_MAX] = ENCODING;
    size_t bits = gen->bits;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, PARAM_URI);
    if (p != NULL && !set_uri(gen, p))
        return 0;
    p = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_BITS);
    if ((p != NULL && !OSSL_PARAM_get_size_t(p, &bits)) ||
        bits < RSA_BITS_MIN || bits > RSA_BITS_MAX ||
        !get_text(params, OSSL_PKEY_PARAM_GROUP_NAME, gen->group) ||
        !get_text(params, OSSL_PKEY_PARAM_EC_ENCODING, encoding) ||
        !get_text(params, PARAM_KEY_USAGE, usage) ||
        strcmp(encoding, ENCODING) != 0 || strcmp(usage, USAGE) != 0)
        return prov_raise_rv(gen->prov, P11_PARAMETER,
                             "a key that is made here has %d to %zu bits if it "
                             "is RSA, a %s if it is EC, and the %s %s",
                             RSA_BITS_MIN, RSA_BITS_MAX, ENCODING,
                             PARAM_KEY_USAGE, USAGE);
    gen->bits = bits;
    return 1;
}

/* In a handshake: a key on the peer's curve. */
int prov_gen_set_template(void *genctx, void *templ)
{
    struct gen_ctx *gen = genctx;
    EVP_PKEY *curve = prov_key_params(templ);
    size_t len;

    return curve != NULL &&
           EVP_PKEY_get_group_name(curve, gen->group, sizeof(gen->group), &len);
}

static EVP_PKEY *find_curve(struct gen_ctx *gen)
{
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                   gen->group, 0),
                            OSSL_PARAM_END };

    params[0].data_size = strlen(gen->group);
    return prov_pubkey_from_params(gen->prov, "EC", EVP_PKEY_KEY_PARAMETERS,
                                   params);
}

static CK_RV no_curve(const struct gen_ctx *gen, struct p11_error *err)
{
    return p11_error_set(err, P11_PARAMETER,
                         "\"%s\" is no curve that libcrypto has; give "
                         "ec_paramgen_curve:NAME",
                         gen->group);
}

/* The curve's object identifier, to be freed with OPENSSL_free(). */
static CK_RV encode_curve(struct gen_ctx *gen, unsigned char **der, int *len,
                          struct p11_error *err)
{
    EVP_PKEY *curve = find_curve(gen);

    *len = curve != NULL ? i2d_KeyParams(curve, der) : 0;
    EVP_PKEY_free(curve);
    return *len > 0 ? CKR_OK : no_curve(gen, err);
}

/* A curve, or a key on it that agrees: for who never heard of tokens. */
static CK_RV make_in_memory(struct gen_ctx *gen, struct prov_key **key,
                            struct p11_error *err)
{
    EVP_PKEY *curve = find_curve(gen);

    if (curve == NULL)
        return no_curve(gen, err);
    if (gen->pair) {
        *key = prov_exchange_key(gen->prov, curve);
        EVP_PKEY_free(curve);
    } else {
        *key = prov_key_new(gen->prov, gen->alg);
        if (*key != NULL)
            (*key)->params = curve;
        else
            EVP_PKEY_free(curve);
    }
    return *key != NULL ? CKR_OK
                        : p11_error_set(err, CKR_HOST_MEMORY,
                                        "no other provider makes EC keys");
}

static CK_RV check_uri(const struct gen_ctx *gen, struct p11_error *err)
{
    const struct p11_uri *uri = gen->uri;

    if (gen->err.rv != CKR_OK)
        return p11_error_set(err, gen->err.rv, "%s", gen->err.text);
    if (uri == NULL)
        return p11_error_set(err, P11_UNSUPPORTED, PROV_GEN_HINT);
    if (!uri->object.present && !uri->id.present)
        return p11_error_set(err, P11_PARAMETER,
                             "pkcs11_uri has to name the key: object= or id=");
    if (uri->spki_sha256.present || gen->prov->config.spki_sha256 != NULL)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "a key that is made anew is none that spki-sha256 "
                             "or hsmsign-spki-sha256 pins; leave it out");
    /* As in loader.c. */
    if (uri->module_path.present || uri->module_name.present)
        return p11_error_set(err, P11_UNSUPPORTED,
                             "module-path and module-name are not taken from "
                             "a URI");
    return CKR_OK;
}

/* What does not come from the URI; *der is to be freed. */
static CK_RV describe(struct gen_ctx *gen, struct p11_new_key *new,
                      unsigned char **der, struct p11_error *err)
{
    const struct prov_alg *alg = gen->alg;
    int len = 0;
    CK_RV rv = CKR_OK;

    new->name = alg->name;
    new->type = alg->key_type;
    new->bits = (CK_ULONG)gen->bits;
    new->parameter_set = alg->parameter_set;
    if (alg->parameter_set != 0) {
        /* Else it would be made and could not be loaded. */
        rv = prov_alg_check(gen->prov, alg, "pkcs11_uri", err);
    } else if (alg == &prov_alg_ec) {
        rv = encode_curve(gen, der, &len, err);
        new->name = gen->group;
        new->params = *der;
        new->params_len = (size_t)len;
    } else if (alg->key_type == CKK_EC_EDWARDS) {
        /* Without parameters this is the object identifier in a SEQUENCE. */
        new->params = (const unsigned char *)alg->algorithm_id + 2;
        new->params_len = alg->algorithm_id_len - 2;
    } else if (alg != &prov_alg_rsa) {
        rv = p11_error_set(err, P11_UNSUPPORTED, "%s keys are not made here",
                           alg->name);
    }
    return rv;
}

static CK_RV make(struct gen_ctx *gen, struct prov_key **key,
                  struct p11_error *err)
{
    struct prov_load load;
    struct p11_new_key new = { 0 };
    struct p11_module *module;
    struct p11_uri named;
    unsigned char id[RANDOM_ID + 1] = { 0 }, *der = NULL;
    CK_RV rv = check_uri(gen, err);

    if (rv != CKR_OK || gen->uri == NULL)
        return rv;
    named = *gen->uri;
    if (!named.id.present)
        named.id = (struct p11_uri_value){ true, RANDOM_ID, (char *)id };
    new.label = named.object;
    new.id = named.id;
    prov_load_init(&load, gen->prov, &named, NULL, NULL, NULL);
    rv = describe(gen, &new, &der, err);
    if (rv == CKR_OK && RAND_bytes_ex(gen->prov->libctx, id, RANDOM_ID, 0) <= 0)
        rv = p11_error_set(err, P11_CONFIG,
                           "nothing gives a random CKA_ID: activate "
                           "\"default\"");
    if (rv == CKR_OK)
        rv = prov_load_module(&load, &module, err);
    if (rv == CKR_OK)
        rv = p11_generate(module, gen->uri, &load.pin, &new, err);
    OPENSSL_free(der);
    /* As whoever uses it next will find it, which proves that they can. */
    return rv == CKR_OK ? prov_load_key(&load, key, err) : rv;
}

void *prov_gen(void *genctx, OSSL_CALLBACK *cb, void *arg)
{
    struct gen_ctx *gen = genctx;
    struct prov_key *key = NULL;
    struct p11_error err = { 0 };
    int saved = errno;
    CK_RV rv;

    (void)cb; /* a token does not tell how far it is */
    (void)arg;
    /* As in loader.c: what tokens leave behind is none of the caller's. */
    ERR_set_mark();
    rv = gen->uri == NULL && gen->err.rv == CKR_OK && gen->alg == &prov_alg_ec
             ? make_in_memory(gen, &key, &err)
             : make(gen, &key, &err);
    ERR_pop_to_mark();
    errno = saved;
    if (rv != CKR_OK)
        prov_raise(gen->prov, &err);
    return key;
}
