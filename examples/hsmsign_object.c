/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The objects of a token that have to do with signing: found by class, label
 * and id, described in words, and named by a URI.
 *
 * What a URI names is what p11_key_load() would find by it: label and id as
 * far as the URI has them.  An object without a label is therefore named by
 * its id alone, and shares that name with whatever else has this id.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/x509.h>
#include "hsmsign_token.h"
#include "hsmsign_tool.h"
#include "pkcs11/attr.h"
#include "pkcs11/calls.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

/* Expected sizes, as in pkcs11/key.c. */
static const struct p11_attr_spec key_specs[] = {
    { CKA_LABEL, 128 },
    { CKA_ID, 128 },
    { CKA_KEY_TYPE, sizeof(CK_KEY_TYPE) },
    { CKA_MODULUS, 1024 },
    { CKA_EC_PARAMS, 64 },
    { CKA_PARAMETER_SET, sizeof(CK_ULONG) },
    { CKA_SIGN, sizeof(CK_BBOOL) },
    { CKA_DECRYPT, sizeof(CK_BBOOL) },
    { CKA_UNWRAP, sizeof(CK_BBOOL) },
    { CKA_DERIVE, sizeof(CK_BBOOL) },
    { CKA_SENSITIVE, sizeof(CK_BBOOL) },
    { CKA_EXTRACTABLE, sizeof(CK_BBOOL) },
};

static const struct p11_attr_spec certificate_specs[] = {
    { CKA_LABEL, 128 },
    { CKA_ID, 128 },
    { CKA_VALUE, 8192 },
};

const char *object_class_name(CK_OBJECT_CLASS class)
{
    return class == CKO_PRIVATE_KEY  ? "private key"
           : class == CKO_PUBLIC_KEY ? "public key"
                                     : "certificate";
}

const char *object_type(CK_OBJECT_CLASS class)
{
    return class == CKO_PRIVATE_KEY  ? "private"
           : class == CKO_PUBLIC_KEY ? "public"
                                     : "cert";
}

static bool copy_value(const struct p11_attrs *attrs, CK_ATTRIBUTE_TYPE type,
                       struct p11_uri_value *value)
{
    const CK_ATTRIBUTE *attr = p11_attrs_get(attrs, type);

    if (attr == NULL)
        return true;
    value->bytes = OPENSSL_zalloc(attr->ulValueLen + 1);
    if (value->bytes == NULL)
        return false;
    memcpy(value->bytes, attr->pValue, attr->ulValueLen);
    value->len = attr->ulValueLen;
    value->present = true;
    return true;
}

static void describe_curve(char kind[OBJECT_KIND_MAX], int nid)
{
    const char *name = EC_curve_nid2nist(nid);

    if (nid == NID_ED25519 || nid == NID_ED448)
        (void)snprintf(kind, OBJECT_KIND_MAX,
                       nid == NID_ED448 ? "ed448" : "ed25519");
    else if (nid == NID_undef)
        (void)snprintf(kind, OBJECT_KIND_MAX, "ec");
    else
        (void)snprintf(kind, OBJECT_KIND_MAX, "ec:%s",
                       name != NULL ? name : OBJ_nid2sn(nid));
}

/* An object identifier, or for Edwards curves a name (PKCS #11 v3.0, 2.3.5). */
static int curve_of(const CK_ATTRIBUTE *params)
{
    static const struct {
        const char *der;
        int nid;
    } names[] = { { "\x13\x0c"
                    "edwards25519",
                    NID_ED25519 },
                  { "\x13\x0a"
                    "edwards448",
                    NID_ED448 } };
    const unsigned char *p = params->pValue;
    ASN1_OBJECT *oid;
    int nid;

    for (size_t i = 0; i < COUNT(names); i++) {
        if (params->ulValueLen == strlen(names[i].der) &&
            memcmp(p, names[i].der, params->ulValueLen) == 0)
            return names[i].nid;
    }
    ERR_set_mark();
    oid = d2i_ASN1_OBJECT(NULL, &p, (long)params->ulValueLen);
    ERR_pop_to_mark();
    nid = oid != NULL ? OBJ_obj2nid(oid) : NID_undef;
    ASN1_OBJECT_free(oid);
    return nid;
}

/* What kinds of key are called whose type says all. */
static const struct {
    CK_ULONG parameter_set;
    const char *name, *kind;
} ml_dsa[] = {
    { CKP_ML_DSA_44, "ML-DSA-44", "ml-dsa-44" },
    { CKP_ML_DSA_65, "ML-DSA-65", "ml-dsa-65" },
    { CKP_ML_DSA_87, "ML-DSA-87", "ml-dsa-87" },
};

/* By the parameter set, or the name of libcrypto's key; NULL: neither. */
static const char *ml_dsa_kind(CK_ULONG set, const EVP_PKEY *key)
{
    for (size_t i = 0; i < COUNT(ml_dsa); i++) {
        if (ml_dsa[i].parameter_set == set ||
            (key != NULL && EVP_PKEY_is_a(key, ml_dsa[i].name)))
            return ml_dsa[i].kind;
    }
    return NULL;
}

/* A modulus may have leading zeros. */
static unsigned long bits_of(const CK_ATTRIBUTE *modulus)
{
    BIGNUM *n = BN_bin2bn(modulus->pValue, (int)modulus->ulValueLen, NULL);
    int bits = n != NULL ? BN_num_bits(n) : 0;

    BN_free(n);
    return (unsigned long)bits;
}

static void describe_key(struct object *object, const struct p11_attrs *attrs)
{
    CK_KEY_TYPE type =
        p11_attrs_ulong(attrs, CKA_KEY_TYPE, CK_UNAVAILABLE_INFORMATION);
    const CK_ATTRIBUTE *params = p11_attrs_get(attrs, CKA_EC_PARAMS);
    const CK_ATTRIBUTE *modulus = p11_attrs_get(attrs, CKA_MODULUS);
    const char *kind =
        ml_dsa_kind(p11_attrs_ulong(attrs, CKA_PARAMETER_SET, 0), NULL);

    if (type == CKK_ML_DSA && kind != NULL)
        (void)snprintf(object->kind, sizeof(object->kind), "%s", kind);
    else if (type == CKK_RSA && modulus != NULL)
        (void)snprintf(object->kind, sizeof(object->kind), "rsa:%lu",
                       bits_of(modulus));
    else if ((type == CKK_EC || type == CKK_EC_EDWARDS) && params != NULL)
        describe_curve(object->kind, curve_of(params));
    else
        (void)snprintf(object->kind, sizeof(object->kind), "0x%lx", type);
    object->may_sign = p11_attrs_bool(attrs, CKA_SIGN, true);
    object->more_uses = p11_attrs_bool(attrs, CKA_DECRYPT, false) ||
                        p11_attrs_bool(attrs, CKA_UNWRAP, false) ||
                        p11_attrs_bool(attrs, CKA_DERIVE, false);
    /* What a token does not say it does not promise. */
    object->sensitive = p11_attrs_bool(attrs, CKA_SENSITIVE, false);
    object->extractable = p11_attrs_bool(attrs, CKA_EXTRACTABLE, true);
}

static bool describe_certificate(struct object *object,
                                 const struct p11_attrs *attrs)
{
    const CK_ATTRIBUTE *value = p11_attrs_get(attrs, CKA_VALUE);
    const unsigned char *der;
    char group[64] = "";
    const EVP_PKEY *key;
    const char *kind;
    X509 *cert;

    (void)snprintf(object->kind, sizeof(object->kind), "unknown");
    if (value == NULL)
        return true;
    object->cert = OPENSSL_memdup(value->pValue, value->ulValueLen);
    object->cert_len = value->ulValueLen;
    if (object->cert == NULL)
        return false;
    ERR_set_mark();
    der = object->cert;
    cert = d2i_X509(NULL, &der, (long)object->cert_len);
    key = cert != NULL ? X509_get0_pubkey(cert) : NULL;
    kind = key != NULL ? ml_dsa_kind(0, key) : NULL;
    if (kind != NULL)
        (void)snprintf(object->kind, sizeof(object->kind), "%s", kind);
    else if (key != NULL &&
             (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS")))
        (void)snprintf(object->kind, sizeof(object->kind), "rsa:%d",
                       EVP_PKEY_get_bits(key));
    else if (key != NULL &&
             EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) > 0)
        describe_curve(object->kind, OBJ_txt2nid(group));
    else if (key != NULL)
        describe_curve(object->kind, OBJ_txt2nid(EVP_PKEY_get0_type_name(key)));
    ERR_pop_to_mark();
    X509_free(cert);
    return true;
}

/* How many tokens of the module the URI names. */
static size_t count_tokens(const struct token *t, const struct p11_uri *uri)
{
    size_t n = 0;

    for (const struct p11_slot *s = t->module->slots; s != NULL; s = s->next) {
        if (s->present && p11_uri_matches_token(uri, s->id, &s->token))
            n++;
    }
    return n;
}

/* A field of CK_TOKEN_INFO; an empty one says nothing. */
static struct p11_uri_value field(const CK_UTF8CHAR *text, size_t size)
{
    struct p11_uri_value value = { .bytes = (char *)text, .len = size };

    while (value.len > 0 && text[value.len - 1] == ' ')
        value.len--;
    value.present = value.len > 0;
    return value;
}

/* slot_id is room for the last resort. */
static void name_token(const struct token *t, struct p11_uri *uri,
                       char slot_id[32])
{
    const CK_TOKEN_INFO *info = &t->slot->token;

    uri->token = field(info->label, sizeof(info->label));
    if (count_tokens(t, uri) > 1)
        uri->serial = field(info->serialNumber, sizeof(info->serialNumber));
    if (count_tokens(t, uri) > 1) {
        (void)snprintf(slot_id, 32, "%lu", t->slot->id);
        uri->slot_id = (struct p11_uri_value){ true, strlen(slot_id), slot_id };
    }
}

/* *text stays NULL if our own parser would not take it. */
static bool write_uri(const struct p11_uri *uri, char **text)
{
    struct p11_uri *parsed = NULL;
    struct p11_error err = { 0 };
    char *buf = OPENSSL_zalloc(P11_URI_MAX + 1);

    *text = NULL;
    if (buf == NULL)
        return false;
    p11_uri_describe(uri, buf, P11_URI_MAX + 1);
    if (p11_uri_parse(buf, &parsed, &err) == CKR_OK)
        *text = OPENSSL_strdup(buf);
    OPENSSL_free(buf);
    p11_uri_free(parsed);
    return *text != NULL || err.rv != CKR_OK;
}

bool object_name(const struct token *t, struct object *object)
{
    const char *type = object_type(object->class);
    struct p11_uri uri = { .type = { true, strlen(type), (char *)type } };
    char slot_id[32];
    bool ok = true;

    OPENSSL_free(object->uri);
    object->uri = NULL;
    name_token(t, &uri, slot_id);
    uri.object = object->label;
    uri.id = object->id;
    if (uri.object.present)
        ok = write_uri(&uri, &object->uri);
    object->uri_has_label = object->uri != NULL;
    /* It has none, or one that is no UTF-8, say. */
    uri.object.present = false;
    if (ok && object->uri == NULL && uri.id.present)
        ok = write_uri(&uri, &object->uri);
    return ok;
}

static bool same(const struct p11_uri_value *a, const struct p11_uri_value *b)
{
    return a->present == b->present && a->len == b->len &&
           (!a->present || memcmp(a->bytes, b->bytes, a->len) == 0);
}

bool object_shares_name(const struct object *a, const struct object *b)
{
    return a->class == b->class &&
           (!a->uri_has_label || same(&a->label, &b->label)) &&
           (!a->id.present || same(&a->id, &b->id));
}

static void object_clear(struct object *object)
{
    OPENSSL_free(object->label.bytes);
    OPENSSL_free(object->id.bytes);
    OPENSSL_free(object->cert);
    OPENSSL_free(object->uri);
    memset(object, 0, sizeof(*object));
}

void objects_free(struct objects *objects)
{
    for (size_t i = 0; i < objects->count; i++)
        object_clear(&objects->list[i]);
    free(objects->list);
    memset(objects, 0, sizeof(*objects));
}

static CK_RV read_object(struct token *t, CK_OBJECT_CLASS class,
                         CK_OBJECT_HANDLE handle, struct object *object,
                         struct p11_error *err)
{
    bool is_cert = class == CKO_CERTIFICATE;
    struct p11_attrs attrs = { 0 };
    CK_RV rv = p11_attrs_read(
        t->module, t->session->handle, handle,
        is_cert ? certificate_specs : key_specs,
        is_cert ? COUNT(certificate_specs) : COUNT(key_specs), &attrs);

    memset(object, 0, sizeof(*object));
    object->handle = handle;
    object->class = class;
    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_GetAttributeValue", t->slot->where);
    if (!is_cert)
        describe_key(object, &attrs);
    if (!copy_value(&attrs, CKA_LABEL, &object->label) ||
        !copy_value(&attrs, CKA_ID, &object->id) ||
        (is_cert && !describe_certificate(object, &attrs)) ||
        !object_name(t, object))
        rv = p11_error_set(err, CKR_HOST_MEMORY, "no memory for an object");
    p11_attrs_clear(&attrs);
    if (rv != CKR_OK)
        object_clear(object);
    return rv;
}

/* All handles: in portions, since nobody knows how many there are. */
static CK_RV list_handles(struct token *t, CK_ATTRIBUTE *tmpl, CK_ULONG n,
                          CK_OBJECT_HANDLE **handles, size_t *count,
                          struct p11_error *err)
{
    CK_FUNCTION_LIST *fl = t->module->fl;
    const CK_ULONG portion = 256;
    CK_ULONG got = 0;
    CK_RV rv = P11_CALL(fl, C_FindObjectsInit, t->session->handle, tmpl, n);

    if (rv != CKR_OK)
        return p11_error_call(err, rv, "C_FindObjectsInit", t->slot->where);
    do {
        CK_OBJECT_HANDLE *grown =
            realloc(*handles, (*count + portion) * sizeof(**handles));

        if (grown == NULL) {
            rv = p11_error_set(err, CKR_HOST_MEMORY, "no memory for objects");
            break;
        }
        *handles = grown;
        rv = P11_CALL(fl, C_FindObjects, t->session->handle, grown + *count,
                      portion, &got);
        if (rv != CKR_OK)
            p11_error_call(err, rv, "C_FindObjects", t->slot->where);
        else
            *count += got < portion ? got : portion;
    } while (rv == CKR_OK && got > 0);
    (void)P11_CALL(fl, C_FindObjectsFinal, t->session->handle);
    return rv;
}

int objects_find(struct token *t, CK_OBJECT_CLASS class,
                 const struct p11_uri_value *label,
                 const struct p11_uri_value *id, struct objects *found)
{
    CK_ATTRIBUTE tmpl[3] = { { CKA_CLASS, &class, sizeof(class) } };
    CK_OBJECT_HANDLE *handles = NULL;
    struct object *grown;
    struct p11_error err = { 0 };
    size_t count = 0;
    CK_ULONG n = 1;
    CK_RV rv;

    if (label != NULL && label->present)
        tmpl[n++] = (CK_ATTRIBUTE){ CKA_LABEL, label->bytes, label->len };
    if (id != NULL && id->present)
        tmpl[n++] = (CK_ATTRIBUTE){ CKA_ID, id->bytes, id->len };
    rv = list_handles(t, tmpl, n, &handles, &count, &err);
    if (rv == CKR_OK && count > 0) {
        grown =
            realloc(found->list, (found->count + count) * sizeof(*found->list));
        if (grown == NULL)
            rv = p11_error_set(&err, CKR_HOST_MEMORY, "no memory for objects");
        else
            found->list = grown;
    }
    for (size_t i = 0; rv == CKR_OK && i < count; i++) {
        rv =
            read_object(t, class, handles[i], &found->list[found->count], &err);
        if (rv == CKR_OK)
            found->count++;
    }
    free(handles);
    return rv == CKR_OK ? CLI_OK : token_fail(&err);
}
