/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a private key on a token can be written as: the PEM file that names
 * it, for programs that read files only, and text for people.  The public
 * half is written by other providers, to which key management exports it.
 */
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include "gen.h"
#include "key.h"
#include "pkcs11/uri.h"

static void *enc_newctx(void *provctx)
{
    return provctx; /* nothing to remember */
}

static void enc_freectx(void *vctx)
{
    (void)vctx;
}

static int enc_does_selection(void *provctx, int selection)
{
    (void)provctx;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static int key_uri(const struct prov_ctx *ctx, const struct prov_key *key,
                   char *uri, size_t size)
{
    struct p11_uri *parsed = NULL;
    struct p11_error err;
    CK_RV rv;

    if (key->token_key == NULL)
        return prov_raise_rv(ctx, P11_UNSUPPORTED, "%s",
                             key->agrees ? PROV_GEN_HINT
                                         : "the key is a public key");
    p11_key_uri(key->token_key, uri, size);
    /* A label may be no UTF-8, or too long. */
    rv = p11_uri_parse(uri, &parsed, &err);
    p11_uri_free(parsed);
    return rv == CKR_OK || prov_raise(ctx, &err);
}

/* The DER that decoder.c reads; returns its length, to be freed, or <= 0. */
static int wrap(const char *uri, unsigned char **der)
{
    static const struct {
        int type;
        const char *text; /* NULL: the URI */
    } parts[] = { { V_ASN1_VISIBLESTRING, PROV_URI_VERSION },
                  { V_ASN1_UTF8STRING, NULL } };
    STACK_OF(ASN1_TYPE) *seq = sk_ASN1_TYPE_new_null();
    int len = -1;

    for (size_t i = 0; i < 2; i++) {
        const char *text = parts[i].text != NULL ? parts[i].text : uri;
        ASN1_TYPE *part = ASN1_TYPE_new();
        ASN1_STRING *string = ASN1_STRING_type_new(parts[i].type);

        if (part == NULL || string == NULL ||
            !ASN1_STRING_set(string, text, -1) ||
            !sk_ASN1_TYPE_push(seq, part)) {
            ASN1_STRING_free(string);
            ASN1_TYPE_free(part);
            goto out;
        }
        ASN1_TYPE_set(part, parts[i].type, string);
    }
    len = i2d_ASN1_SEQUENCE_ANY(seq, der);
out:
    sk_ASN1_TYPE_pop_free(seq, ASN1_TYPE_free);
    return len;
}

static int enc_pem(void *vctx, OSSL_CORE_BIO *cout, const void *keydata,
                   const OSSL_PARAM abstract[], int selection,
                   OSSL_PASSPHRASE_CALLBACK *cb, void *arg)
{
    const struct prov_ctx *ctx = vctx;
    char uri[P11_URI_MAX + 1];
    unsigned char *der = NULL;
    BIO *out;
    int len, ok;

    (void)selection;
    (void)cb; /* there is nothing to protect by a passphrase */
    (void)arg;
    if (abstract != NULL || !key_uri(ctx, keydata, uri, sizeof(uri)))
        return 0;
    out = BIO_new_from_core_bio(ctx->libctx, cout);
    len = wrap(uri, &der);
    ok = out != NULL && len > 0 &&
         PEM_write_bio(out, PROV_URI_LABEL, "", der, len) > 0;
    OPENSSL_free(der);
    BIO_free(out);
    return ok;
}

static int enc_text(void *vctx, OSSL_CORE_BIO *cout, const void *keydata,
                    const OSSL_PARAM abstract[], int selection,
                    OSSL_PASSPHRASE_CALLBACK *cb, void *arg)
{
    const struct prov_ctx *ctx = vctx;
    /* Not const: its public half may become known. */
    struct prov_key *key = (struct prov_key *)keydata;
    EVP_PKEY *pub;
    char uri[P11_URI_MAX + 1];
    BIO *out;
    int ok;

    (void)selection;
    (void)cb;
    (void)arg;
    if (abstract != NULL || !key_uri(ctx, key, uri, sizeof(uri)))
        return 0;
    out = BIO_new_from_core_bio(ctx->libctx, cout);
    /* Without it there is less to say, and that is no error. */
    ERR_set_mark();
    pub = prov_key_need_public(key);
    ERR_pop_to_mark();
    ok = out != NULL &&
         BIO_printf(out, "PKCS#11 Private-Key: (%s, %d bit)\nURI: %s\n",
                    key->alg->name, prov_key_bits(key), uri) > 0 &&
         (pub == NULL || EVP_PKEY_print_public(out, pub, 0, NULL) > 0);
    BIO_free(out);
    return ok;
}

static const OSSL_DISPATCH pem_functions[] = {
    PROV_FN(ENCODER_NEWCTX, enc_newctx),
    PROV_FN(ENCODER_FREECTX, enc_freectx),
    PROV_FN(ENCODER_DOES_SELECTION, enc_does_selection),
    PROV_FN(ENCODER_ENCODE, enc_pem),
    { 0, NULL },
};

static const OSSL_DISPATCH text_functions[] = {
    PROV_FN(ENCODER_NEWCTX, enc_newctx),
    PROV_FN(ENCODER_FREECTX, enc_freectx),
    PROV_FN(ENCODER_DOES_SELECTION, enc_does_selection),
    PROV_FN(ENCODER_ENCODE, enc_text),
    { 0, NULL },
};

#define ENCODER(type, properties)                                              \
    { type, properties ",output=pem,structure=PrivateKeyInfo", pem_functions,  \
      "PEM-wrapped URIs" },                                                    \
    {                                                                          \
        type, properties ",output=text", text_functions,                       \
            "text about a key on a token"                                      \
    }
#define ENCODERS(properties)                                                   \
    {                                                                          \
        ENCODER("RSA", properties), ENCODER("EC", properties),                 \
            ENCODER("ED25519", properties), ENCODER("RSA-PSS", properties),    \
            ENCODER("ED448", properties), ENCODER("ML-DSA-44", properties),    \
            ENCODER("ML-DSA-65", properties),                                  \
            ENCODER("ML-DSA-87", properties), { NULL, NULL, NULL, NULL },      \
    }
const struct prov_offer prov_encoders = PROV_OFFER(ENCODER, ENCODERS);
