/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsmsignd/attributes: the signed attributes of a CMS that OpenSSL made pass,
 * and nothing that differs from them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <openssl/asn1t.h>
#include <openssl/cms.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include "examples/hsmsignd/attributes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static EVP_PKEY *key;
static X509 *mine, *other;

/* The attributes of a CMS by that certificate, as a DER SET OF. */
struct set {
    unsigned char *der;
    size_t len;
};

static X509 *make_cert(long serial)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    assert_true(
        X509_set_version(cert, 2) &&
        ASN1_INTEGER_set(X509_get_serialNumber(cert), serial) &&
        X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(cert), 86400) != NULL &&
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   (const unsigned char *)"a", -1, -1, 0) &&
        X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
        X509_sign(cert, key, EVP_sha256()) > 0);
    return cert;
}

static int setup(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-256");
    mine = make_cert(1);
    other = make_cert(2);
    return key == NULL;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    X509_free(mine);
    X509_free(other);
    return 0;
}

struct item {
    unsigned char *der;
    int len;
};

/* DER's order of a SET OF: by the encodings, X.690, 11.6. */
static int compare(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order =
        memcmp(x->der, y->der, (size_t)(x->len < y->len ? x->len : y->len));

    return order != 0 ? order : x->len - y->len;
}

/* What is signed has the tag of a SET, RFC 5652, 5.4. */
static struct set encode(STACK_OF(X509_ATTRIBUTE) * attrs)
{
    struct item items[16] = { { NULL, 0 } };
    int count = sk_X509_ATTRIBUTE_num(attrs), total = 0;
    struct set set;
    unsigned char *p;

    assert_in_range(count, 1, COUNT(items));
    for (int i = 0; i < count; i++) {
        items[i].len = i2d_X509_ATTRIBUTE(sk_X509_ATTRIBUTE_value(attrs, i),
                                          &items[i].der);
        total += items[i].len;
    }
    qsort(items, (size_t)count, sizeof(items[0]), compare);
    set.len = (size_t)ASN1_object_size(1, total, V_ASN1_SET);
    set.der = p = malloc(set.len);
    assert_non_null(p);
    ASN1_put_object(&p, 1, total, V_ASN1_SET, V_ASN1_UNIVERSAL);
    for (int i = 0; i < count; i++) {
        memcpy(p, items[i].der, (size_t)items[i].len);
        p += items[i].len;
        OPENSSL_free(items[i].der);
    }
    return set;
}

/* leave_out: the attribute of that NID; 0: none */
static struct set make_set(X509 *cert, unsigned flags, int leave_out)
{
    BIO *data = BIO_new_mem_buf("document", -1);
    CMS_ContentInfo *cms = CMS_sign(NULL, NULL, NULL, data,
                                    CMS_BINARY | CMS_PARTIAL | CMS_DETACHED);
    CMS_SignerInfo *si =
        CMS_add1_signer(cms, cert, key, EVP_sha256(), flags | CMS_BINARY);
    STACK_OF(X509_ATTRIBUTE) *attrs = sk_X509_ATTRIBUTE_new_null();
    struct set set;

    assert_non_null(si);
    assert_int_equal(CMS_final(cms, data, NULL, CMS_BINARY | CMS_DETACHED), 1);
    for (int i = 0; i < CMS_signed_get_attr_count(si); i++) {
        X509_ATTRIBUTE *attr = CMS_signed_get_attr(si, i);

        if (OBJ_obj2nid(X509_ATTRIBUTE_get0_object(attr)) != leave_out)
            sk_X509_ATTRIBUTE_push(attrs, attr);
    }
    set = encode(attrs);
    sk_X509_ATTRIBUTE_free(attrs);
    CMS_ContentInfo_free(cms);
    BIO_free(data);
    return set;
}

/* Attributes made here, with what a row says to be added or changed. */
enum {
    V1 = 1,        /* the older ESS attribute, of SHA-1 */
    V2 = 2,        /* the newer, of SHA-256 */
    V1_OTHER = 4,  /* that of another certificate */
    V2_OTHER = 8,  /* the same */
    V1_TWICE = 16, /* two of them, the second the other's */
    V2_TEXT = 32,  /* no SEQUENCE */
    V2_EMPTY = 64, /* no certificate in it */
    TYPE_OTHER = 128,
    TYPE_TWICE = 256,
    DIGEST_TWO_VALUES = 512,
    DIGEST_TEXT = 1024, /* no OCTET STRING */
    V1_TEXT = 2048,
    V1_NONE = 4096, /* SEQUENCE of NULL */
    V2_NONE = 8192
};

/* SigningCertificate or SigningCertificateV2, RFC 5035, with its hash alone. */
static int make_ess(X509 *cert, const EVP_MD *md, unsigned char out[64])
{
    unsigned char hash[EVP_MAX_MD_SIZE], *p = out;
    unsigned int n = 0;

    assert_int_equal(X509_digest(cert, md, hash, &n), 1);
    /* SEQUENCE of (certs) SEQUENCE of (ESSCertID) SEQUENCE of the hash */
    ASN1_put_object(&p, 1, (int)n + 6, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    ASN1_put_object(&p, 1, (int)n + 4, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    ASN1_put_object(&p, 1, (int)n + 2, V_ASN1_SEQUENCE, V_ASN1_UNIVERSAL);
    ASN1_put_object(&p, 0, (int)n, V_ASN1_OCTET_STRING, V_ASN1_UNIVERSAL);
    memcpy(p, hash, n);
    return (int)(p - out) + (int)n;
}

static void add(STACK_OF(X509_ATTRIBUTE) * attrs, int nid, int type,
                const void *value, int len)
{
    X509_ATTRIBUTE *attr =
        X509_ATTRIBUTE_create_by_NID(NULL, nid, type, value, len);

    assert_non_null(attr);
    assert_true(sk_X509_ATTRIBUTE_push(attrs, attr) > 0);
}

static void add_ess(STACK_OF(X509_ATTRIBUTE) * attrs, X509 *cert, bool v2)
{
    unsigned char ess[64];
    int len = make_ess(cert, v2 ? EVP_sha256() : EVP_sha1(), ess);

    add(attrs,
        v2 ? NID_id_smime_aa_signingCertificateV2
           : NID_id_smime_aa_signingCertificate,
        V_ASN1_SEQUENCE, ess, len);
}

static void add_basic(STACK_OF(X509_ATTRIBUTE) * attrs, unsigned what)
{
    static const unsigned char digest[32] = { 1 };
    int nid = (what & TYPE_OTHER) != 0 ? NID_pkcs7_signed : NID_pkcs7_data;

    add(attrs, NID_pkcs9_contentType, V_ASN1_OBJECT, OBJ_nid2obj(nid), -1);
    if ((what & TYPE_TWICE) != 0)
        add(attrs, NID_pkcs9_contentType, V_ASN1_OBJECT, OBJ_nid2obj(nid), -1);
    add(attrs, NID_pkcs9_messageDigest,
        (what & DIGEST_TEXT) != 0 ? V_ASN1_UTF8STRING : V_ASN1_OCTET_STRING,
        digest, sizeof(digest));
    if ((what & DIGEST_TWO_VALUES) != 0)
        assert_int_equal(
            X509_ATTRIBUTE_set1_data(sk_X509_ATTRIBUTE_value(attrs, 1),
                                     V_ASN1_OCTET_STRING, digest, 32),
            1);
}

static struct set make_own(unsigned what)
{
    STACK_OF(X509_ATTRIBUTE) *attrs = sk_X509_ATTRIBUTE_new_null();
    struct set set;

    add_basic(attrs, what);
    if ((what & (V1 | V1_OTHER)) != 0)
        add_ess(attrs, (what & V1) != 0 ? mine : other, false);
    if ((what & V1_TWICE) != 0)
        add_ess(attrs, other, false);
    if ((what & V1_TEXT) != 0)
        add(attrs, NID_id_smime_aa_signingCertificate, V_ASN1_UTF8STRING, "a",
            1);
    if ((what & (V2 | V2_OTHER)) != 0)
        add_ess(attrs, (what & V2) != 0 ? mine : other, true);
    if ((what & V2_TEXT) != 0)
        add(attrs, NID_id_smime_aa_signingCertificateV2, V_ASN1_UTF8STRING, "a",
            1);
    if ((what & V1_NONE) != 0)
        add(attrs, NID_id_smime_aa_signingCertificate, V_ASN1_SEQUENCE,
            "\x30\x02\x05\x00", 4);
    if ((what & V2_NONE) != 0)
        add(attrs, NID_id_smime_aa_signingCertificateV2, V_ASN1_SEQUENCE,
            "\x30\x02\x05\x00", 4);
    if ((what & V2_EMPTY) != 0)
        add(attrs, NID_id_smime_aa_signingCertificateV2, V_ASN1_SEQUENCE,
            "\x30\x02\x30\x00", 4);
    set = encode(attrs);
    sk_X509_ATTRIBUTE_pop_free(attrs, X509_ATTRIBUTE_free);
    return set;
}

/* Both ESS attributes, if they are there, name the certificate, once. */
static void test_each_attribute_is_there_once_and_right(void **state)
{
    static const struct {
        unsigned what;
        const char *reason; /* NULL: passes for cades */
        bool cms;           /* passes else */
    } rows[] = {
        { V2, NULL, true },
        { V1, NULL, true },
        { V1 | V2, NULL, true },
        { 0, "signing-certificate", true },
        { V2_OTHER, "signing-certificate", true },
        { V1_OTHER, "signing-certificate", true },
        { V1_OTHER | V2, "signing-certificate", true },
        { V1 | V2_OTHER, "signing-certificate", true },
        { V1 | V1_TWICE, "signing-certificate", true },
        { V1 | V1_TWICE | V2, "signing-certificate", true },
        { V1_TEXT | V2, "signing-certificate", true },
        { V2_TEXT, "signing-certificate", true },
        { V1 | V2_TEXT, "signing-certificate", true },
        { V1_NONE | V2, "signing-certificate", true },
        { V1 | V2_NONE, "signing-certificate", true },
        { V2_EMPTY, "signing-certificate", true },
        { V2 | TYPE_OTHER, "content-type", false },
        { V2 | TYPE_TWICE, "content-type", false },
        { V2 | DIGEST_TWO_VALUES, "message-digest", false },
        { V2 | DIGEST_TEXT, "message-digest", false },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct set set = make_own(rows[i].what);
        const char *wrong = attributes_check(set.der, set.len, 32, true, mine);

        if (rows[i].reason == NULL)
            assert_null(wrong);
        else if (wrong == NULL || strstr(wrong, rows[i].reason) == NULL)
            fail_msg("row %zu: %s", i, wrong != NULL ? wrong : "passes");
        assert_int_equal(attributes_check(set.der, set.len, 32, false, mine) ==
                             NULL,
                         rows[i].cms);
        free(set.der);
    }
}

static void test_attributes_of_openssl_pass(void **state)
{
    static const struct {
        unsigned flags;
        bool cades, good;
    } rows[] = {
        { 0, false, true },
        { CMS_CADES, false, true },
        { CMS_CADES, true, true },
        { 0, true, false },
        { CMS_NOSMIMECAP, false, true },
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct set set = make_set(mine, rows[i].flags, 0);
        const char *wrong =
            attributes_check(set.der, set.len, 32, rows[i].cades, mine);

        if (rows[i].good)
            assert_null(wrong);
        else
            assert_non_null(strstr(wrong, "signing-certificate"));
        free(set.der);
    }
}

static void test_attributes_without_what_counts_are_refused(void **state)
{
    static const struct {
        int nid;
        const char *reason;
    } rows[] = {
        { NID_pkcs9_contentType, "content-type" },
        { NID_pkcs9_messageDigest, "message-digest" },
        { NID_id_smime_aa_signingCertificateV2, "signing-certificate" },
    };
    struct set set = make_set(mine, CMS_CADES, 0);

    (void)state;
    assert_non_null(strstr(attributes_check(set.der, set.len, 48, true, mine),
                           "message-digest"));
    assert_non_null(strstr(attributes_check(set.der, set.len, 32, true, other),
                           "signing-certificate"));
    free(set.der);
    for (size_t i = 0; i < COUNT(rows); i++) {
        set = make_set(mine, CMS_CADES, rows[i].nid);
        assert_non_null(
            strstr(attributes_check(set.der, set.len, 32, true, mine),
                   rows[i].reason));
        free(set.der);
    }
}

static void test_what_is_no_der_is_refused(void **state)
{
    struct set set = make_set(mine, CMS_CADES, 0);
    unsigned char *more = malloc(set.len + 1);

    (void)state;
    assert_non_null(more);
    for (size_t len = 0; len < set.len; len++) {
        unsigned char *part = malloc(len + 1);

        assert_non_null(part);
        memcpy(part, set.der, len);
        assert_non_null(attributes_check(part, len, 32, true, mine));
        free(part);
    }
    memcpy(more, set.der, set.len);
    more[set.len] = 0;
    assert_non_null(attributes_check(more, set.len + 1, 32, true, mine));
    more[0] = 0x30;
    assert_non_null(attributes_check(more, set.len, 32, true, mine));
    more[0] = 0xa0;
    assert_non_null(attributes_check(more, set.len, 32, true, mine));
    free(more);
    free(set.der);
}

/* Not in DER's order: the first two of them change places. */
static void test_order_of_der_is_wanted(void **state)
{
    struct set set = make_set(mine, CMS_CADES, 0);
    size_t head = set.der[1] < 0x80 ? 2 : 2U + (set.der[1] & 0x7f);
    size_t first = 2U + set.der[head + 1],
           second = 2U + set.der[head + first + 1];
    unsigned char *swapped = malloc(set.len);

    (void)state;
    assert_non_null(swapped);
    assert_true(set.der[head + 1] < 0x80 && set.der[head + first + 1] < 0x80);
    memcpy(swapped, set.der, set.len);
    memcpy(swapped + head, set.der + head + first, second);
    memcpy(swapped + head + second, set.der + head, first);
    assert_non_null(attributes_check(swapped, set.len, 32, true, mine));
    free(swapped);
    free(set.der);
}

/* Forms of BER that DER has not, X.690, 10.1. */
static void test_lengths_of_ber_are_refused(void **state)
{
    struct set set = make_own(V2);
    size_t head = set.der[1] < 0x80 ? 2 : 2U + (set.der[1] & 0x7f);
    size_t body = set.len - head;
    unsigned char *ber = malloc(body + 6);

    (void)state;
    assert_non_null(ber);
    /* Indefinite, with its end. */
    memcpy(ber, "\x31\x80", 2);
    memcpy(ber + 2, set.der + head, body);
    memcpy(ber + 2 + body, "\0\0", 2);
    assert_non_null(
        strstr(attributes_check(ber, body + 4, 32, true, mine), "DER"));
    /* More bytes of length than it takes. */
    assert_in_range(body, 0, 0xffff);
    memcpy(ber, "\x31\x83\0", 3);
    ber[3] = (unsigned char)(body >> 8);
    ber[4] = (unsigned char)body;
    memcpy(ber + 5, set.der + head, body);
    assert_non_null(
        strstr(attributes_check(ber, body + 5, 32, true, mine), "DER"));
    free(ber);
    free(set.der);
}

/* What is refused is said by the reason alone: later calls see no error. */
static void test_no_error_stays_behind(void **state)
{
    struct set set = make_own(V2_OTHER);

    (void)state;
    ERR_clear_error();
    assert_non_null(attributes_check(set.der, set.len, 32, true, mine));
    assert_non_null(attributes_check(set.der, set.len - 1, 32, true, mine));
    assert_int_equal(ERR_peek_error(), 0);
    free(set.der);
}

/* Whatever is changed: no crash; and the hash of the certificate counts. */
static void test_no_byte_crashes_it(void **state)
{
    struct set set = make_set(mine, CMS_CADES, 0);
    unsigned passed = 0;

    (void)state;
    for (size_t i = 0; i < set.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            set.der[i] ^= (unsigned char)(1U << bit);
            if (attributes_check(set.der, set.len, 32, true, mine) == NULL)
                passed++;
            set.der[i] ^= (unsigned char)(1U << bit);
        }
    }
    /* The digest's own bits, and those of the time or the capabilities. */
    assert_in_range(passed, 256, set.len * 8 - 256);
    free(set.der);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attributes_of_openssl_pass),
        cmocka_unit_test(test_attributes_without_what_counts_are_refused),
        cmocka_unit_test(test_what_is_no_der_is_refused),
        cmocka_unit_test(test_order_of_der_is_wanted),
        cmocka_unit_test(test_each_attribute_is_there_once_and_right),
        cmocka_unit_test(test_lengths_of_ber_are_refused),
        cmocka_unit_test(test_no_error_stays_behind),
        cmocka_unit_test(test_no_byte_crashes_it),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, setup, teardown);
}
