/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include "fuzz.h"
#include "hostile_object.h"
#include "hostile_token.h"
#include "pkcs11/rv.h"

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define SLOT         7

enum how { GOOD, ONLY_RV, NOTHING, LIE };

static struct {
    struct hostile_traits traits;
    const uint8_t *answers;
    size_t size, at;
    unsigned long calls_left, failing_left;
    CK_ULONG sessions; /* handles so far */
    bool changed;      /* it said something else of itself once */
    unsigned refused;
    size_t signed_len;
    struct hostile_search search;
} token;

/* ---- the input ---- */

static unsigned draw(void)
{
    if (token.at == token.size)
        token.at = 0;
    return token.size > 0 ? token.answers[token.at++] : 0;
}

/* Small ones, and those at which arithmetic goes wrong. */
static CK_ULONG draw_number(void)
{
    static const CK_ULONG odd[] = {
        0x100,      0x101,      0x400,      0x1000,    0x10000,     0x100000,
        0x7fffffff, 0x80000000, 0xffffffff, ~0UL >> 1, ~0UL,        ~0UL - 1,
        ~0UL >> 4,  ~0UL >> 3,  ~0UL - 7,   0xfffffff, ~(~0UL >> 1)
    };
    unsigned byte = draw();

    return byte < 0xe0 ? byte : odd[(byte - 0xe0) % COUNT(odd)];
}

static CK_RV draw_rv(void)
{
    size_t n;
    const struct p11_rv_info *rows = p11_rv_table(&n);

    return rows[draw() % n].rv;
}

/* At most 8 bytes, over and over; none: buf stays as it is. */
static size_t fill(void *buf, size_t len)
{
    unsigned char pattern[8];
    size_t n = draw() % (sizeof(pattern) + 1);

    for (size_t i = 0; i < n; i++)
        pattern[i] = (unsigned char)draw();
    for (size_t i = 0; n > 0 && i < len; i++)
        ((unsigned char *)buf)[i] = pattern[i % n];
    return n > 0 ? len : 0;
}

/* How this call is answered, and the CK_RV if it is not a good one's. */
static enum how begin(CK_RV *rv)
{
    unsigned how;

    if (token.calls_left == 0) {
        fuzz_check(token.failing_left-- > 0, "there is no end to the calls");
        *rv = CKR_GENERAL_ERROR;
        return ONLY_RV;
    }
    token.calls_left--;
    how = token.size > 0 ? draw() % 8 : 0;
    *rv = how == 4 || how == 7 ? draw_rv() : CKR_OK;
    return how < 4 ? GOOD : how == 4 ? ONLY_RV : how == 5 ? NOTHING : LIE;
}

/* Of a call that has nothing to say but a CK_RV. */
static CK_RV say(void)
{
    CK_RV rv;

    (void)begin(&rv);
    return rv;
}

/* ---- library and slots ---- */

static void pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
    memset(field, ' ', size);
    memcpy(field, text, strlen(text));
}

static CK_RV initialize(void *args)
{
    CK_RV rv;

    (void)args;
    return begin(&rv) == GOOD && token.traits.initialised
               ? CKR_CRYPTOKI_ALREADY_INITIALIZED
               : rv;
}

static CK_RV finalize(void *reserved)
{
    (void)reserved;
    return say();
}

static CK_RV get_info(CK_INFO *info)
{
    CK_RV rv;
    enum how how = begin(&rv);

    if (how == GOOD) {
        info->libraryVersion = (CK_VERSION){ 2, 1 };
        pad(info->manufacturerID, sizeof(info->manufacturerID), "maker");
        pad(info->libraryDescription, sizeof(info->libraryDescription), "lib");
    } else if (how == LIE) {
        (void)fill(info, sizeof(*info));
    }
    return rv;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *count)
{
    CK_ULONG room = *count, has = 1, first = SLOT;
    CK_RV rv;
    enum how how = begin(&rv);

    (void)present;
    token.changed |= how != GOOD;
    if (how == ONLY_RV || how == NOTHING)
        return rv;
    if (how == LIE) {
        has = draw_number();
        first = draw_number();
    }
    *count = has;
    if (list == NULL)
        return rv;
    for (CK_ULONG i = 0; i < has && i < room; i++)
        list[i] = first + i;
    return has > room && how == GOOD ? CKR_BUFFER_TOO_SMALL : rv;
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info)
{
    CK_RV rv;
    enum how how = begin(&rv);

    (void)slot;
    if (how == GOOD) {
        pad(info->slotDescription, sizeof(info->slotDescription), "slot");
        pad(info->manufacturerID, sizeof(info->manufacturerID), "maker");
    } else if (how == LIE) {
        (void)fill(info, sizeof(*info));
    }
    return rv;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV rv;
    enum how how = begin(&rv);

    (void)slot;
    token.changed |= how != GOOD;
    if (how == ONLY_RV || how == NOTHING)
        return rv;
    pad(info->label, sizeof(info->label), HOSTILE_TOKEN);
    pad(info->manufacturerID, sizeof(info->manufacturerID), "maker");
    pad(info->model, sizeof(info->model), "model");
    pad(info->serialNumber, sizeof(info->serialNumber), "1");
    info->flags = CKF_TOKEN_INITIALIZED;
    if (token.traits.login_required)
        info->flags |= CKF_LOGIN_REQUIRED;
    if (how == LIE) {
        info->flags ^= (CK_FLAGS)draw() << 8 | draw();
        (void)fill(info->label, sizeof(info->label));
        (void)fill(info->serialNumber, sizeof(info->serialNumber));
    }
    return rv;
}

/* ---- sessions ---- */

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application,
                          CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    CK_RV rv;
    enum how how = begin(&rv);

    (void)slot;
    (void)flags;
    (void)application;
    (void)notify;
    if (how == GOOD)
        *session = ++token.sessions;
    else if (how == LIE)
        *session = draw_number();
    return rv;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    (void)session;
    return say();
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    CK_RV rv;
    enum how how = begin(&rv);

    (void)session;
    if (how == GOOD)
        *info =
            (CK_SESSION_INFO){ .slotID = SLOT, .state = CKS_RW_USER_FUNCTIONS };
    else if (how == LIE)
        info->state = draw_number();
    return rv;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin,
                   CK_ULONG len)
{
    CK_RV rv = say();

    (void)session;
    (void)user;
    if (p11_rv_info(rv)->class == P11_CLASS_PIN && pin != NULL && len > 0)
        token.refused++;
    return rv;
}

/* ---- objects ---- */

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *tmpl,
                               CK_ULONG n)
{
    (void)session;
    hostile_search(&token.search, tmpl, n);
    return say();
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects,
                          CK_ULONG max, CK_ULONG *count)
{
    CK_RV rv;
    enum how how = begin(&rv);
    CK_OBJECT_HANDLE first;

    (void)session;
    if (how == GOOD)
        *count = hostile_found(&token.search, objects, max);
    if (how != LIE)
        return rv;
    *count = draw_number();
    first = draw_number();
    for (CK_ULONG i = 0; i < max && i < *count; i++)
        objects[i] = first + i;
    return rv;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session)
{
    (void)session;
    return say();
}

/* Of one attribute: absent, a length that is a lie, or any value. */
static CK_RV lie(CK_ATTRIBUTE *attr)
{
    CK_ULONG room = attr->ulValueLen;

    switch (draw() % 6) {
    case 0:
        attr->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_ATTRIBUTE_TYPE_INVALID;
    case 1:
        attr->ulValueLen = draw_number();
        return CKR_OK;
    case 2:
        attr->ulValueLen = room + 1 + draw_number();
        return CKR_BUFFER_TOO_SMALL;
    case 3:
        attr->ulValueLen = draw_number();
        if (attr->ulValueLen > room)
            attr->ulValueLen = room;
        (void)fill(attr->pValue, attr->ulValueLen);
        return CKR_OK;
    case 4:
        return CKR_OK;
    default:
        return CKR_ATTRIBUTE_SENSITIVE;
    }
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session,
                                 CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attrs,
                                 CK_ULONG n)
{
    bool always = token.traits.always_authenticate;
    CK_RV rv, one, said;
    enum how how = begin(&said);

    (void)session;
    rv = said;
    for (CK_ULONG i = 0; i < n && (how == GOOD || how == LIE); i++) {
        one = how == LIE && draw() % 2 != 0
                  ? lie(&attrs[i])
                  : hostile_attribute(token.traits.kind, always, object,
                                      &attrs[i]);
        if (rv == CKR_OK)
            rv = one;
    }
    /* Or all of that is "ok". */
    return how == LIE && draw() % 4 == 0 ? said : rv;
}

static CK_RV generate_key_pair(CK_SESSION_HANDLE session,
                               CK_MECHANISM *mechanism, CK_ATTRIBUTE *public,
                               CK_ULONG public_n, CK_ATTRIBUTE *private,
                               CK_ULONG private_n, CK_OBJECT_HANDLE *public_key,
                               CK_OBJECT_HANDLE *private_key)
{
    CK_RV rv;
    enum how how = begin(&rv);

    (void)session;
    (void)mechanism;
    (void)public;
    (void)public_n;
    (void)private;
    (void)private_n;
    if (how == GOOD || how == LIE) {
        *public_key = how == LIE ? draw_number() : HOSTILE_PUBLIC;
        *private_key = how == LIE ? draw_number() : HOSTILE_PRIVATE;
    }
    return rv;
}

/* ---- signatures ---- */

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                       CK_OBJECT_HANDLE key)
{
    (void)session;
    (void)mechanism;
    (void)key;
    return say();
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len,
                  CK_BYTE *sig, CK_ULONG *sig_len)
{
    CK_ULONG room = *sig_len, wants;
    CK_RV rv;
    enum how how = begin(&rv);

    (void)session;
    token.signed_len = 0;
    if (how == GOOD) {
        rv = hostile_signature(token.traits.kind, data, len, sig, sig_len);
        token.signed_len = rv == CKR_OK ? *sig_len : 0;
    } else if (how == LIE) {
        wants = draw() % 2 != 0 ? room : draw_number();
        token.signed_len = fill(sig, wants < room ? wants : room);
        *sig_len = wants;
    }
    return rv;
}

/* ---- the list ---- */

/* What this project calls. */
#define FUNCTIONS(ROW)                                                         \
    ROW(C_Initialize, initialize)                                              \
    ROW(C_Finalize, finalize)                                                  \
    ROW(C_GetInfo, get_info)                                                   \
    ROW(C_GetSlotList, get_slot_list)                                          \
    ROW(C_GetSlotInfo, get_slot_info)                                          \
    ROW(C_GetTokenInfo, get_token_info)                                        \
    ROW(C_OpenSession, open_session)                                           \
    ROW(C_CloseSession, close_session)                                         \
    ROW(C_GetSessionInfo, get_session_info)                                    \
    ROW(C_Login, login)                                                        \
    ROW(C_FindObjectsInit, find_objects_init)                                  \
    ROW(C_FindObjects, find_objects)                                           \
    ROW(C_FindObjectsFinal, find_objects_final)                                \
    ROW(C_GetAttributeValue, get_attribute_value)                              \
    ROW(C_GenerateKeyPair, generate_key_pair)                                  \
    ROW(C_SignInit, sign_init)                                                 \
    ROW(C_Sign, sign)

const char *hostile_begin(CK_FUNCTION_LIST *list,
                          const struct hostile_traits *traits,
                          const uint8_t *answers, size_t size)
{
#define NAME(name, function)   #name,
#define OFFSET(name, function) offsetof(CK_FUNCTION_LIST, name),
#define ENTRY(name, function)  .name = (function),
    static const char *const names[] = { NULL, FUNCTIONS(NAME) };
    static const size_t offsets[] = { 0, FUNCTIONS(OFFSET) };
    static const CK_FUNCTION_LIST all = { FUNCTIONS(ENTRY).version = { 2, 1 } };
    size_t missing = traits->missing % COUNT(names);

    memset(&token, 0, sizeof(token));
    token.traits = *traits;
    token.answers = answers;
    token.size = size;
    *list = all;
    if (missing > 0)
        memset((char *)list + offsets[missing], 0, sizeof(void (*)(void)));
    return names[missing];
}

void hostile_allow(unsigned long calls, unsigned long failing)
{
    token.calls_left = calls;
    token.failing_left = failing;
}

size_t hostile_signed(void)
{
    return token.signed_len;
}

unsigned hostile_refused(void)
{
    return token.changed ? 0 : token.refused;
}
