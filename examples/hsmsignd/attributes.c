/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <openssl/asn1t.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/ess.h>
#include "attributes.h"

ASN1_ITEM_TEMPLATE(ATTRIBUTES) =
    ASN1_EX_TEMPLATE_TYPE(ASN1_TFLG_SET_OF, 0, ATTRIBUTES, X509_ATTRIBUTE)
        static_ASN1_ITEM_TEMPLATE_END(ATTRIBUTES)

    /* The one value of the one attribute, if it is of that ASN.1 type. */
    static const ASN1_TYPE
    * find(STACK_OF(X509_ATTRIBUTE) * attrs, int nid, int type)
{
    int i = X509at_get_attr_by_NID(attrs, nid, -1);
    X509_ATTRIBUTE *attr = X509at_get_attr(attrs, i);
    const ASN1_TYPE *value = X509_ATTRIBUTE_get0_type(attr, 0);

    if (i < 0 || X509at_get_attr_by_NID(attrs, nid, i) >= 0 ||
        X509_ATTRIBUTE_count(attr) != 1 || ASN1_TYPE_get(value) != type)
        return NULL;
    return value;
}

/* False if it is there, but not once with one SEQUENCE. */
static bool find_ess(STACK_OF(X509_ATTRIBUTE) * attrs, int nid,
                     const ASN1_TYPE **value)
{
    *value = find(attrs, nid, V_ASN1_SEQUENCE);
    return *value != NULL || X509at_get_attr_by_NID(attrs, nid, -1) < 0;
}

/* Whether the ESS attribute, of either form or each, has cert's hash. */
static bool names_cert(STACK_OF(X509_ATTRIBUTE) * attrs, X509 *cert)
{
    const ASN1_TYPE *v1 = NULL, *v2 = NULL;
    ESS_SIGNING_CERT *ss = NULL;
    ESS_SIGNING_CERT_V2 *ssv2 = NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    const unsigned char *p;
    bool good = find_ess(attrs, NID_id_smime_aa_signingCertificate, &v1);

    good = find_ess(attrs, NID_id_smime_aa_signingCertificateV2, &v2) && good;
    if (v1 != NULL) {
        p = v1->value.sequence->data;
        ss = d2i_ESS_SIGNING_CERT(NULL, &p, v1->value.sequence->length);
    }
    if (v2 != NULL) {
        p = v2->value.sequence->data;
        ssv2 = d2i_ESS_SIGNING_CERT_V2(NULL, &p, v2->value.sequence->length);
    }
    good = good && chain != NULL && (v1 == NULL || ss != NULL) &&
           (v2 == NULL || ssv2 != NULL) && sk_X509_push(chain, cert) > 0 &&
           OSSL_ESS_check_signing_certs(ss, ssv2, chain, 1) > 0;
    sk_X509_free(chain);
    ESS_SIGNING_CERT_free(ss);
    ESS_SIGNING_CERT_V2_free(ssv2);
    return good;
}

static const char *check(STACK_OF(X509_ATTRIBUTE) * attrs, size_t digest_len,
                         bool cades, X509 *cert)
{
    const ASN1_TYPE *type = find(attrs, NID_pkcs9_contentType, V_ASN1_OBJECT);
    const ASN1_TYPE *digest =
        find(attrs, NID_pkcs9_messageDigest, V_ASN1_OCTET_STRING);

    if (type == NULL || OBJ_obj2nid(type->value.object) != NID_pkcs7_data)
        return "there is no content-type id-data";
    if (digest == NULL ||
        (size_t)digest->value.octet_string->length != digest_len)
        return "there is no message-digest of that hash_algorithm";
    if (cades && !names_cert(attrs, cert))
        return "there is no signing-certificate that names this one";
    return NULL;
}

const char *attributes_check(const unsigned char *der, size_t len,
                             size_t digest_len, bool cades, X509 *cert)
{
    const unsigned char *p = der;
    STACK_OF(X509_ATTRIBUTE) *attrs = NULL;
    unsigned char *again = NULL;
    const char *wrong = "it is not a DER SET OF attributes";
    int n;

    (void)ERR_set_mark();
    attrs = (STACK_OF(X509_ATTRIBUTE) *)ASN1_item_d2i(
        NULL, &p, (long)len, ASN1_ITEM_rptr(ATTRIBUTES));
    n = ASN1_item_i2d((const ASN1_VALUE *)attrs, &again,
                      ASN1_ITEM_rptr(ATTRIBUTES));
    if (attrs != NULL && n > 0 && (size_t)n == len &&
        memcmp(again, der, len) == 0)
        wrong = check(attrs, digest_len, cades, cert);
    OPENSSL_free(again);
    sk_X509_ATTRIBUTE_pop_free(attrs, X509_ATTRIBUTE_free);
    (void)ERR_pop_to_mark();
    return wrong;
}
