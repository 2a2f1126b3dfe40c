/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs that open key files only are let in by a file that wraps a URI:
 *
 *     -----BEGIN PKCS#11 PROVIDER URI-----
 *     SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String URI }
 *
 * Two steps, as libcrypto's decoders chain: from PEM to DER, and from DER to
 * a key, for which libcrypto asks the decoder of each key type in turn.  A
 * certificate takes the first alone.
 *
 * A wrapped URI is a private key, if type= does not say something else; to
 * who reads public keys it is a public key.
 */
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/err.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <string.h>
#include "objects.h"

#define STRUCTURE "pkcs11-provider-uri"

/*
 * One PEM block on its way through libcrypto, in this thread.  The decoder of
 * each key type is asked about it, and the token but once.  And libcrypto's
 * store, which stands between, forgets what is raised below it: the reason is
 * left here and raised above.
 */
struct pem_block {
    struct prov_key *key; /* owned; NULL until it is loaded */
    struct p11_error err; /* why it is not; rv CKR_OK for no reason */
};

static _Thread_local struct pem_block *current_block;

/* Nothing to remember. */
static void *decoder_newctx(void *provctx)
{
    return provctx;
}

static void decoder_freectx(void *provctx)
{
    (void)provctx;
}

static int key_selected(void *provctx, int selection)
{
    (void)provctx;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
}

/*
 * What a URI is to who selects so, as OSSL_STORE_INFO_*; 0: nothing.  What is
 * of no use is passed over before the token is asked, as any other block is.
 */
static int wrapped_object(const struct p11_uri *uri, int selection)
{
    bool any = selection == 0;
    bool private = (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;

    if (uri->type.present && strcmp(uri->type.bytes, "cert") == 0)
        return any ? OSSL_STORE_INFO_CERT : 0;
    if (uri->type.present && strcmp(uri->type.bytes, "public") == 0)
        return private ? 0 : OSSL_STORE_INFO_PUBKEY;
    if (any || private)
        return OSSL_STORE_INFO_PKEY;
    return uri->type.present ? 0 : OSSL_STORE_INFO_PUBKEY;
}

/* The one object of that class; objects is to be cleared in any case. */
static CK_RV load_object(struct prov_ctx *ctx, const struct p11_uri *uri,
                         int what, OSSL_PASSPHRASE_CALLBACK *pw_cb,
                         void *pw_arg, struct prov_objects *objects,
                         struct prov_object *object, struct p11_error *err)
{
    struct prov_load load;
    CK_RV rv = prov_objects_want(objects, what, &uri->type, err);

    prov_load_init(&load, ctx, uri, NULL, pw_cb, pw_arg);
    return rv == CKR_OK ? prov_objects_next(objects, &load, object, err) : rv;
}

/* One definite-length DER value of that tag; advances *p, or returns NULL. */
static const unsigned char *
get_value(const unsigned char **p, const unsigned char *end, int tag, long *len)
{
    const unsigned char *value = *p;
    int found, class;
    int form = ASN1_get_object(&value, len, &found, &class, end - value);

    /* Bit 7 is an error, bit 0 an indefinite length; and DER is minimal. */
    if (form != (tag == V_ASN1_SEQUENCE ? V_ASN1_CONSTRUCTED : 0) ||
        found != tag || class != V_ASN1_UNIVERSAL ||
        ASN1_object_size(form != 0, (int)*len, tag) != value - *p + *len)
        return NULL;
    *p = value + *len;
    return value;
}

/* The URI, NUL-terminated, to be freed; NULL if der is something else. */
static char *unwrap(const unsigned char *der, long size)
{
    const unsigned char *p = der, *inside, *version, *uri;
    long len, version_len, uri_len;

    inside = get_value(&p, der + size, V_ASN1_SEQUENCE, &len);
    if (inside == NULL || p != der + size)
        return NULL;
    p = inside;
    version = get_value(&p, inside + len, V_ASN1_VISIBLESTRING, &version_len);
    if (version == NULL || version_len != (long)strlen(PROV_URI_VERSION) ||
        memcmp(version, PROV_URI_VERSION, strlen(PROV_URI_VERSION)) != 0)
        return NULL;
    uri = get_value(&p, inside + len, V_ASN1_UTF8STRING, &uri_len);
    if (uri == NULL || p != inside + len || memchr(uri, 0, (size_t)uri_len))
        return NULL;
    return OPENSSL_strndup((const char *)uri, (size_t)uri_len);
}

/* Returns 1, or 0 with an error raised. */
static int decode_certificate(struct prov_ctx *ctx, const struct p11_uri *uri,
                              OSSL_CALLBACK *cb, void *arg,
                              OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct prov_objects objects = { 0 };
    struct prov_object object = { 0 };
    struct p11_error err;
    CK_RV rv = load_object(ctx, uri, OSSL_STORE_INFO_CERT, pw_cb, pw_arg,
                           &objects, &object, &err);
    int ok = rv == CKR_OK ? prov_object_hand_over(&object, cb, arg)
                          : prov_raise(ctx, &err);

    prov_objects_clear(&objects);
    return ok;
}

/* On to the decoders of DER. */
static int decode_key(struct prov_ctx *ctx, unsigned char *der, size_t len,
                      OSSL_CALLBACK *cb, void *arg)
{
    int type = OSSL_OBJECT_PKEY, ok;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_STRUCTURE, STRUCTURE,
                               sizeof(STRUCTURE) - 1),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, len),
        OSSL_PARAM_END
    };
    struct pem_block block = { NULL, { .rv = CKR_OK } };
    struct pem_block *outer = current_block;

    ERR_set_mark();
    current_block = &block;
    ok = cb(params, arg);
    current_block = outer;
    prov_key_free(block.key);
    if (block.err.rv == CKR_OK) {
        ERR_clear_last_mark();
        return ok;
    }
    ERR_pop_to_mark();
    return prov_raise(ctx, &block.err);
}

static int decode_block(struct prov_ctx *ctx, unsigned char *der, size_t len,
                        int selection, OSSL_CALLBACK *cb, void *arg,
                        OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    char *text;
    struct p11_uri *uri = NULL;
    struct p11_error err;
    int ok = 1, what;
    CK_RV rv;

    ERR_set_mark();
    text = unwrap(der, (long)len);
    ERR_pop_to_mark();
    /* Nobody else will say so: the label is ours. */
    if (text == NULL)
        return prov_raise_rv(ctx, P11_URI_INVALID,
                             "the PEM block \"" PROV_URI_LABEL
                             "\" does not hold "
                             "a URI; write it anew with hsmsign uri2pem");
    rv = p11_uri_parse(text, &uri, &err);
    OPENSSL_clear_free(text, strlen(text));
    if (rv != CKR_OK)
        return prov_raise(ctx, &err);
    what = wrapped_object(uri, selection);
    if (what == OSSL_STORE_INFO_CERT)
        ok = decode_certificate(ctx, uri, cb, arg, pw_cb, pw_arg);
    else if (what != 0)
        ok = decode_key(ctx, der, len, cb, arg);
    p11_uri_free(uri);
    return ok;
}

/* Another label, or no PEM at all, is for other decoders: not an error. */
static int pem_decode(void *vctx, OSSL_CORE_BIO *in, int selection,
                      OSSL_CALLBACK *cb, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct prov_ctx *ctx = vctx;
    BIO *bio = BIO_new_from_core_bio(ctx->libctx, in);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    int ok = 1, found;

    if (bio == NULL)
        return 0;
    ERR_set_mark();
    found = PEM_read_bio(bio, &name, &header, &der, &len);
    ERR_pop_to_mark();
    if (found && strcmp(name, PROV_URI_LABEL) == 0)
        ok = decode_block(ctx, der, (size_t)len, selection, cb, arg, pw_cb,
                          pw_arg);
    OPENSSL_free(name);
    OPENSSL_free(header);
    if (found) /* the URI may have a pin-value */
        OPENSSL_clear_free(der, (size_t)len);
    BIO_free(bio);
    return ok;
}

static char *read_uri(struct prov_ctx *ctx, OSSL_CORE_BIO *in)
{
    unsigned char der[P11_URI_MAX + 64];
    BIO *bio = BIO_new_from_core_bio(ctx->libctx, in);
    size_t len = 0, n;
    char *uri;

    if (bio == NULL)
        return NULL;
    ERR_set_mark();
    while (len < sizeof(der) &&
           BIO_read_ex(bio, der + len, sizeof(der) - len, &n))
        len += n;
    uri = unwrap(der, (long)len);
    ERR_pop_to_mark();
    BIO_free(bio);
    OPENSSL_cleanse(der, sizeof(der));
    return uri;
}

/* What text names, if that is a key to who selects so. */
static void load_key(struct prov_ctx *ctx, const char *text, int selection,
                     OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg,
                     struct pem_block *block)
{
    struct prov_objects objects = { 0 };
    struct prov_object object = { 0 };
    struct p11_uri *uri = NULL;
    struct p11_error err;
    CK_RV rv = p11_uri_parse(text, &uri, &err);
    int what = rv == CKR_OK ? wrapped_object(uri, selection) : 0;

    if (what != 0 && what != OSSL_STORE_INFO_CERT)
        rv =
            load_object(ctx, uri, what, pw_cb, pw_arg, &objects, &object, &err);
    if (rv != CKR_OK)
        block->err = err;
    block->key = object.key;
    prov_objects_clear(&objects);
    p11_uri_free(uri);
}

static int der_decode(struct prov_ctx *ctx, const struct prov_alg *alg,
                      OSSL_CORE_BIO *in, int selection, OSSL_CALLBACK *cb,
                      void *arg, OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct pem_block no_pem = { NULL, { .rv = CKR_OK } };
    struct pem_block *block = current_block != NULL ? current_block : &no_pem;
    char *text = read_uri(ctx, in);
    int ok = 1;

    if (text == NULL)
        return 1; /* nothing of ours: for other decoders */
    if (block->key == NULL)
        load_key(ctx, text, selection, pw_cb, pw_arg, block);
    OPENSSL_clear_free(text, strlen(text));
    if (block->err.rv != CKR_OK)
        ok = block == &no_pem ? prov_raise(ctx, &block->err) : 0;
    else if (block->key != NULL && block->key->alg == alg)
        ok = prov_key_hand_over(block->key, cb, arg);
    prov_key_free(no_pem.key);
    return ok;
}

static const OSSL_DISPATCH pem_functions[] = {
    PROV_FN(DECODER_NEWCTX, decoder_newctx),
    PROV_FN(DECODER_FREECTX, decoder_freectx),
    PROV_FN(DECODER_DECODE, pem_decode),
    { 0, NULL },
};

/* libcrypto asks for a key of one type, and takes no other. */
#define DECODER(type)                                                          \
    static int type##_decode(void *provctx, OSSL_CORE_BIO *in, int selection,  \
                             OSSL_CALLBACK *cb, void *arg,                     \
                             OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)    \
    {                                                                          \
        return der_decode(provctx, &prov_alg_##type, in, selection, cb, arg,   \
                          pw_cb, pw_arg);                                      \
    }                                                                          \
    static const OSSL_DISPATCH type##_functions[] = {                          \
        PROV_FN(DECODER_NEWCTX, decoder_newctx),                               \
        PROV_FN(DECODER_FREECTX, decoder_freectx),                             \
        PROV_FN(DECODER_DOES_SELECTION, key_selected),                         \
        PROV_FN(DECODER_DECODE, type##_decode),                                \
        { 0, NULL },                                                           \
    };
DECODER(rsa)
DECODER(rsa_pss)
DECODER(ec)
DECODER(ed25519)
DECODER(ed448)
DECODER(ml_dsa_44)
DECODER(ml_dsa_65)
DECODER(ml_dsa_87)

#define DER_INPUT ",input=der,structure=" STRUCTURE

#define DECODERS(properties)                                                   \
    {                                                                          \
        { "DER", properties ",input=pem", pem_functions, "PEM-wrapped URIs" }, \
            { "RSA", properties DER_INPUT, rsa_functions,                      \
              "wrapped URIs of RSA keys" },                                    \
            { "RSA-PSS", properties DER_INPUT, rsa_pss_functions,              \
              "wrapped URIs of RSA-PSS keys" },                                \
            { "EC", properties DER_INPUT, ec_functions,                        \
              "wrapped URIs of EC keys" },                                     \
            { "ED25519", properties DER_INPUT, ed25519_functions,              \
              "wrapped URIs of Ed25519 keys" },                                \
            { "ED448", properties DER_INPUT, ed448_functions,                  \
              "wrapped URIs of Ed448 keys" },                                  \
            { "ML-DSA-44", properties DER_INPUT, ml_dsa_44_functions,          \
              "wrapped URIs of ML-DSA-44 keys" },                              \
            { "ML-DSA-65", properties DER_INPUT, ml_dsa_65_functions,          \
              "wrapped URIs of ML-DSA-65 keys" },                              \
            { "ML-DSA-87", properties DER_INPUT, ml_dsa_87_functions,          \
              "wrapped URIs of ML-DSA-87 keys" },                              \
            { NULL, NULL, NULL, NULL },                                        \
    }
const struct prov_offer prov_decoders = PROV_OFFER(DECODER, DECODERS);
