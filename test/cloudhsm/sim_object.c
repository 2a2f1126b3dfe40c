/* SPDX-License-Identifier: Apache-2.0 */
/* Objects: finding, reading and making them, keys and certificates. */
#include <stdlib.h>
#include <string.h>
#include "sim.h"

enum { CERTIFICATE_BYTES = 32 * 1024, ID_BYTES = 128, LABEL_BYTES = 127 };

/* A session's data: what C_FindObjects has still to tell. */
struct found {
    CK_ULONG count, next;
    CK_OBJECT_HANDLE objects[]; /* behind */
};

static bool stores_certificates(void)
{
    return sim_config.certificates && sim_config.hsm2m;
}

static bool is_visible(CK_SLOT_ID slot, enum sim_object_kind kind)
{
    bool public = kind == SIM_RSA_PUBLIC || kind == SIM_EC_PUBLIC;

    if (kind == SIM_KINDS ||
        (kind == SIM_CERTIFICATE && !stores_certificates()))
        return false;
    return sim_logged_in(slot) ||
           (kind == SIM_CERTIFICATE && sim_config.certificate_visible) ||
           (public && sim_config.visible_before_login);
}

/* What the application's handle is behind, if it can see that. */
static CK_RV look(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                  struct sim_object *object)
{
    CK_OBJECT_HANDLE behind = CK_INVALID_HANDLE;
    CK_RV rv = CKR_OBJECT_HANDLE_INVALID;

    if (sim_handle_behind(handle, &behind))
        rv = sim_object_look(session, behind, object);
    if (rv == CKR_OK && !is_visible(front_session(session)->slot, object->kind))
        rv = CKR_OBJECT_HANDLE_INVALID;
    return rv;
}

/* ---- finding ---- */

/* What is asked for in a search, without what only we know. */
struct search {
    CK_ATTRIBUTE *templ; /* for the module behind */
    CK_ULONG count;
    const CK_ATTRIBUTE *check_value;
    CK_ULONG private; /* 2: not asked for */
};

static CK_RV split(struct search *search, const CK_ATTRIBUTE *templ,
                   CK_ULONG count)
{
    *search = (struct search){
        .templ = calloc(count + 1, sizeof(*templ)),
        .check_value = sim_template_get(templ, count, CKA_CHECK_VALUE),
        .private = sim_template_number(templ, count, CKA_PRIVATE, 2),
    };
    if (search->templ == NULL)
        return CKR_HOST_MEMORY;
    for (CK_ULONG i = 0; i < count; i++) {
        if (!sim_attribute_is_known(templ[i].type))
            return CKR_TEMPLATE_INCONSISTENT;
        if (templ[i].type != CKA_CHECK_VALUE && templ[i].type != CKA_PRIVATE)
            search->templ[search->count++] = templ[i];
    }
    return CKR_OK;
}

static bool fits(const struct search *search, CK_SESSION_HANDLE session,
                 CK_OBJECT_HANDLE behind, bool *certificate)
{
    const CK_ATTRIBUTE *wanted = search->check_value;
    struct sim_object object;
    CK_BYTE value[3];

    if (sim_object_look(session, behind, &object) != CKR_OK ||
        !is_visible(front_session(session)->slot, object.kind))
        return false;
    *certificate = object.kind == SIM_CERTIFICATE;
    if (search->private != 2 && (search->private == 1) == *certificate)
        return false;
    if (wanted == NULL)
        return true;
    if (*certificate || wanted->ulValueLen != sizeof(value))
        return false;
    sim_check_value(&object, value);
    return memcmp(value, wanted->pValue, sizeof(value)) == 0;
}

/* Everything that fits the template behind. */
static CK_RV find_behind(CK_SESSION_HANDLE session, const struct search *search,
                         struct found **found)
{
    CK_ULONG room = 64;
    CK_ULONG n = 1;
    CK_RV rv =
        sim_behind->C_FindObjectsInit(session, search->templ, search->count);

    *found = calloc(1, sizeof(**found) + room * sizeof(CK_OBJECT_HANDLE));
    if (rv != CKR_OK)
        return rv;
    while (rv == CKR_OK && n != 0 && *found != NULL) {
        struct found *to = *found;

        if (to->count == room) {
            room *= 2;
            to = realloc(to, sizeof(*to) + room * sizeof(CK_OBJECT_HANDLE));
            if (to == NULL)
                break;
            *found = to;
        }
        rv = sim_behind->C_FindObjects(session, &to->objects[to->count],
                                       room - to->count, &n);
        to->count += n;
    }
    (void)sim_behind->C_FindObjectsFinal(session);
    return n != 0 && rv == CKR_OK ? CKR_HOST_MEMORY : rv;
}

static CK_RV search_all(CK_SESSION_HANDLE session, const struct search *search,
                        struct found **found)
{
    bool any_certificate = false;
    CK_ULONG kept = 0;
    CK_RV rv = find_behind(session, search, found);

    for (CK_ULONG i = 0; rv == CKR_OK && i < (*found)->count; i++) {
        bool certificate = false;

        if (!fits(search, session, (*found)->objects[i], &certificate))
            continue;
        any_certificate = any_certificate || certificate;
        (*found)->objects[kept++] = (*found)->objects[i];
    }
    if (rv == CKR_OK)
        (*found)->count = kept;
    if (rv == CKR_OK && any_certificate && !sim_certificate_rate(false))
        rv = CKR_FUNCTION_FAILED;
    return rv;
}

CK_RV sim_C_FindObjectsInit(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                            CK_ULONG count)
{
    struct front_session *open = front_session(session);
    struct search search;
    struct found *found = NULL;
    CK_RV rv = CKR_OK;

    if (open->data != NULL)
        return CKR_OPERATION_ACTIVE;
    rv = split(&search, templ, count);
    if (rv == CKR_OK)
        rv = sim_trip(sim_config.hsm2m ? sim_config.hsms : 1);
    if (rv == CKR_OK)
        rv = search_all(session, &search, &found);
    if (rv == CKR_OK)
        open->data = found;
    else
        free(found);
    free(search.templ);
    return rv;
}

CK_RV sim_C_FindObjects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *objects,
                        CK_ULONG max, CK_ULONG *count)
{
    struct found *found = front_session(session)->data;
    CK_ULONG n = 0;

    if (found == NULL)
        return CKR_OPERATION_NOT_INITIALIZED;
    while (n < max && found->next < found->count)
        objects[n++] = sim_handle(found->objects[found->next++]);
    *count = n;
    return CKR_OK;
}

CK_RV sim_C_FindObjectsFinal(CK_SESSION_HANDLE session)
{
    struct front_session *open = front_session(session);

    if (open->data == NULL)
        return CKR_OPERATION_NOT_INITIALIZED;
    free(open->data);
    open->data = NULL;
    return CKR_OK;
}

/* ---- attributes ---- */

CK_RV sim_C_GetAttributeValue(CK_SESSION_HANDLE session,
                              CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *templ,
                              CK_ULONG count)
{
    struct sim_object object;
    CK_RV rv = sim_trip(1);

    if (rv == CKR_OK)
        rv = look(session, handle, &object);
    if (rv == CKR_OK && object.kind == SIM_CERTIFICATE &&
        !sim_certificate_rate(false))
        rv = CKR_DEVICE_ERROR;
    if (rv != CKR_OK)
        return rv;
    return front_get_attributes(sim_behind, session, object.behind, templ,
                                count, sim_answer, &object);
}

static CK_RV set_attributes(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle,
                            CK_ATTRIBUTE *templ, CK_ULONG count)
{
    struct sim_object object;
    CK_RV rv = look(session, handle, &object);

    if (rv != CKR_OK)
        return rv;
    if (object.kind != SIM_CERTIFICATE && sim_config.set_attribute != CKR_OK)
        return sim_config.set_attribute;
    rv = sim_template_check(object.kind, templ, count);
    return rv == CKR_OK ? sim_behind->C_SetAttributeValue(
                              session, object.behind, templ, count)
                        : rv;
}

/* ---- making ---- */

/* A template with CloudHSM's defaults added to it. */
struct made {
    CK_ATTRIBUTE *templ;
    CK_ULONG count;
};

static CK_BBOOL yes = CK_TRUE;
static CK_BBOOL no = CK_FALSE;

static void add(struct made *made, CK_ATTRIBUTE_TYPE type, void *value,
                CK_ULONG len)
{
    if (sim_template_get(made->templ, made->count, type) == NULL)
        made->templ[made->count++] = (CK_ATTRIBUTE){ type, value, len };
}

static CK_RV complete(struct made *made, enum sim_object_kind kind,
                      const CK_ATTRIBUTE *templ, CK_ULONG count,
                      CK_BYTE check_value[3])
{
    bool private =
        kind == SIM_RSA_PRIVATE || kind == SIM_EC_PRIVATE || kind == SIM_SECRET;
    CK_RV rv = sim_template_check(kind, templ, count);

    if (rv != CKR_OK)
        return rv;
    made->templ = calloc(count + 8, sizeof(*templ));
    if (made->templ == NULL)
        return CKR_HOST_MEMORY;
    if (count != 0)
        memcpy(made->templ, templ, count * sizeof(*templ));
    made->count = count;
    add(made, CKA_PRIVATE, kind == SIM_CERTIFICATE ? &no : &yes, sizeof(yes));
    if (kind == SIM_CERTIFICATE)
        return CKR_OK;
    add(made, CKA_TOKEN, &no, sizeof(no));
    add(made, private ? CKA_SIGN : CKA_VERIFY, &no, sizeof(no));
    if (private) {
        add(made, CKA_SENSITIVE, &yes, sizeof(yes));
        add(made, CKA_EXTRACTABLE, &yes, sizeof(yes));
    }
    if (check_value != NULL)
        add(made, CKA_SUBJECT, check_value, 3);
    return CKR_OK;
}

static CK_RV rsa_size(const CK_ATTRIBUTE *templ, CK_ULONG count)
{
    CK_ULONG bits = sim_template_number(templ, count, CKA_MODULUS_BITS, 0);

    return bits < 2048 || bits > 4096 || bits % 256 != 0 ? sim_config.rsa_size
                                                         : CKR_OK;
}

static CK_RV generate_pair(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                           CK_ATTRIBUTE *public_templ, CK_ULONG public_count,
                           CK_ATTRIBUTE *private_templ, CK_ULONG private_count,
                           CK_OBJECT_HANDLE *public_key,
                           CK_OBJECT_HANDLE *private_key)
{
    unsigned long random = sim_random();
    CK_BYTE check_value[3];
    struct made public = { 0 };
    struct made private = { 0 };
    CK_MECHANISM behind;
    bool rsa = false;
    CK_RV rv = sim_mechanism(mechanism, &behind);

    memcpy(check_value, &random, sizeof(check_value));
    if (rv == CKR_OK && !sim_logged_in(front_session(session)->slot))
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv != CKR_OK)
        return rv;
    rsa = behind.mechanism == CKM_RSA_PKCS_KEY_PAIR_GEN;
    rv = complete(&public, rsa ? SIM_RSA_PUBLIC : SIM_EC_PUBLIC, public_templ,
                  public_count, check_value);
    if (rv == CKR_OK)
        rv = complete(&private, rsa ? SIM_RSA_PRIVATE : SIM_EC_PRIVATE,
                      private_templ, private_count, check_value);
    if (rv == CKR_OK && rsa)
        rv = rsa_size(public_templ, public_count);
    if (rv == CKR_OK)
        rv = sim_behind->C_GenerateKeyPair(
            session, &behind, public.templ, public.count, private.templ,
            private.count, public_key, private_key);
    if (rv == CKR_OK) {
        sim_key_is_fresh(*private_key);
        *public_key = sim_handle(*public_key);
        *private_key = sim_handle(*private_key);
    }
    free(public.templ);
    free(private.templ);
    return rv;
}

static CK_RV generate_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
                          CK_ATTRIBUTE *templ, CK_ULONG count,
                          CK_OBJECT_HANDLE *key)
{
    struct made made = { 0 };
    CK_MECHANISM behind;
    CK_RV rv = sim_mechanism(mechanism, &behind);

    if (rv == CKR_OK && !sim_logged_in(front_session(session)->slot))
        rv = CKR_USER_NOT_LOGGED_IN;
    if (rv == CKR_OK)
        rv = complete(&made, SIM_SECRET, templ, count, NULL);
    if (rv == CKR_OK)
        rv = sim_behind->C_GenerateKey(session, &behind, made.templ, made.count,
                                       key);
    if (rv == CKR_OK)
        *key = sim_handle(*key);
    free(made.templ);
    return rv;
}

static bool longer(const CK_ATTRIBUTE *templ, CK_ULONG count,
                   CK_ATTRIBUTE_TYPE type, CK_ULONG max)
{
    const CK_ATTRIBUTE *attribute = sim_template_get(templ, count, type);

    return attribute != NULL && attribute->ulValueLen > max;
}

static CK_RV certificate_may_be_made(CK_SESSION_HANDLE session,
                                     const CK_ATTRIBUTE *templ, CK_ULONG count)
{
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_ATTRIBUTE all = { CKA_CLASS, &class, sizeof(class) };
    const struct search search = { .templ = &all, .count = 1 };
    struct found *found = NULL;
    CK_RV rv = CKR_OK;

    if (!stores_certificates())
        return sim_config.certificate_off;
    if (longer(templ, count, CKA_VALUE, CERTIFICATE_BYTES) ||
        longer(templ, count, CKA_ID, ID_BYTES) ||
        longer(templ, count, CKA_LABEL, LABEL_BYTES))
        return sim_config.certificate_size;
    if (!sim_certificate_rate(true))
        return CKR_FUNCTION_FAILED;
    rv = find_behind(session, &search, &found);
    if (rv == CKR_OK && found->count >= sim_config.certificate_limit)
        rv = sim_config.certificate_full;
    free(found);
    return rv;
}

static CK_RV create(CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ,
                    CK_ULONG count, CK_OBJECT_HANDLE *object)
{
    const CK_ULONG none = CK_UNAVAILABLE_INFORMATION;
    enum sim_object_kind kind =
        sim_kind(sim_template_number(templ, count, CKA_CLASS, none),
                 sim_template_number(templ, count, CKA_KEY_TYPE, none));
    struct made made = { 0 };
    CK_RV rv = sim_logged_in(front_session(session)->slot)
                   ? complete(&made, kind, templ, count, NULL)
                   : CKR_USER_NOT_LOGGED_IN;

    if (rv == CKR_OK && kind == SIM_CERTIFICATE)
        rv = certificate_may_be_made(session, templ, count);
    if (rv == CKR_OK)
        rv =
            sim_behind->C_CreateObject(session, made.templ, made.count, object);
    if (rv == CKR_OK)
        *object = sim_handle(*object);
    free(made.templ);
    return rv;
}

static CK_RV destroy(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle)
{
    struct sim_object object;
    CK_RV rv = look(session, handle, &object);

    if (rv == CKR_OK && object.kind == SIM_CERTIFICATE &&
        !sim_certificate_rate(true))
        rv = CKR_FUNCTION_FAILED;
    return rv == CKR_OK ? sim_behind->C_DestroyObject(session, object.behind)
                        : rv;
}

void sim_object_functions(CK_FUNCTION_LIST *list)
{
    list->C_SetAttributeValue = set_attributes;
    list->C_GenerateKeyPair = generate_pair;
    list->C_GenerateKey = generate_key;
    list->C_CreateObject = create;
    list->C_DestroyObject = destroy;
}
