/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a test does to the fake token and asks of it, and what surrounds every
 * C_ function: the hook, the rules, the log.  fake_token.h is the manual.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fake_internal.h"

static const char *const functions[] = {
#define MODELLED(name)                   #name,
#define OTHER(name, first, params, args) #name,
#include "cryptoki_functions.h"
};

void fake_die(const char *what, const char *value)
{
    (void)fprintf(stderr, "fake token: %s: %s\n", what, value);
    abort();
}

static void check_function(const char *function)
{
    size_t i = 0;

    for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcmp(functions[i], function) == 0)
            return;
    }
    fake_die("no such function", function);
}

/* A copy that ends with NUL; what does not fit is the test's mistake. */
static void set_text(char *field, size_t size, const char *text)
{
    if (strlen(text) >= size)
        fake_die("text too long", text);
    memcpy(field, text, strlen(text) + 1);
}

struct fake_slot *fake_add_slot(struct fake *fake, const char *label,
                                const char *serial)
{
    struct fake_slot *slot = NULL;

    pthread_mutex_lock(&fake->lock);
    if (fake->n_slots == FAKE_MAX_SLOTS)
        fake_die("too many slots", label);
    slot = &fake->slots[fake->n_slots];
    *slot = (struct fake_slot){
        .id = fake->profile->first_slot + fake->n_slots,
        .token_present = true,
        .flags = fake->profile->token_flags,
        .pin_tries = fake->profile->pin_tries,
        .pinpad = CKR_OK,
    };
    set_text(slot->label, sizeof(slot->label), label);
    set_text(slot->serial, sizeof(slot->serial), serial);
    set_text(slot->pin, sizeof(slot->pin), fake->profile->pin);
    set_text(slot->description, sizeof(slot->description), "fake slot");
    set_text(slot->slot_manufacturer, sizeof(slot->slot_manufacturer),
             "hsmsign tests");
    set_text(slot->manufacturer, sizeof(slot->manufacturer), "hsmsign tests");
    set_text(slot->model, sizeof(slot->model), fake->profile->name);
    fake->n_slots++;
    pthread_mutex_unlock(&fake->lock);
    return slot;
}

/* All that fake_reset gives back: the objects' values and the log. */
static void free_all(struct fake *fake)
{
    size_t i = 0;
    size_t j = 0;

    for (i = 0; i < FAKE_MAX_OBJECTS; i++) {
        for (j = 0; j < fake->objects[i].n; j++)
            free(fake->objects[i].attributes[j].pValue);
    }
    free(fake->calls);
}

void fake_reset_to(struct fake *fake, const struct fake_profile *profile)
{
    pthread_mutex_lock(&fake->lock);
    if (fake->active != 0)
        fake_die("reset during a call", profile->name);
    free_all(fake);
    fake->list = *fake->pristine;
    fake->profile = profile;
    set_text(fake->manufacturer, sizeof(fake->manufacturer), "hsmsign tests");
    set_text(fake->description, sizeof(fake->description), profile->name);
    fake->library_version = (CK_VERSION){ 1, 2 };
    fake->n_slots = 0;
    fake->n_mechanisms = 0;
    while (profile->mechanisms[fake->n_mechanisms] !=
           CK_UNAVAILABLE_INFORMATION) {
        fake->mechanisms[fake->n_mechanisms] =
            profile->mechanisms[fake->n_mechanisms];
        fake->n_mechanisms++;
    }
    fake->max_sessions = FAKE_MAX_SESSIONS;
    fake->lost_session = CKR_SESSION_HANDLE_INVALID;
    fake->failed_sign_keeps_operation = false;
    fake->child_inherits = false;
    fake->sign = fake_sign_echo;
    fake->sign_arg = NULL;
    fake->before = NULL;
    fake->before_arg = NULL;
    fake->initialized = false;
    fake->violations = 0;
    memset(fake->init_args, 0, sizeof(fake->init_args));
    memset(fake->objects, 0, sizeof(fake->objects));
    memset(fake->sessions, 0, sizeof(fake->sessions));
    fake->n_rules = 0;
    fake->n_calls = 0;
    fake->room = 0;
    fake->calls = NULL;
    pthread_mutex_unlock(&fake->lock);
    fake_add_slot(fake, profile->label, "1");
}

/* The attribute of that type, or a new one. */
static CK_ATTRIBUTE *place_for(struct fake_object *object,
                               CK_ATTRIBUTE_TYPE type)
{
    size_t i = 0;

    while (i < object->n && object->attributes[i].type != type)
        i++;
    if (i == FAKE_MAX_ATTRIBUTES)
        fake_die("too many attributes", "of an object");
    if (i == object->n)
        object->attributes[object->n++] = (CK_ATTRIBUTE){ type, NULL, 0 };
    return &object->attributes[i];
}

static void set_attribute(struct fake_object *object, CK_ATTRIBUTE_TYPE type,
                          const void *value, size_t len)
{
    CK_ATTRIBUTE *attribute = place_for(object, type);

    free(attribute->pValue);
    attribute->pValue = NULL;
    attribute->ulValueLen = len;
    if (value == NULL) {
        *attribute = object->attributes[--object->n];
        object->attributes[object->n] = (CK_ATTRIBUTE){ 0 };
        return;
    }
    attribute->pValue = malloc(len == 0 ? 1 : len);
    if (attribute->pValue == NULL)
        fake_die("out of memory", "for an attribute");
    memcpy(attribute->pValue, value, len);
}

size_t fake_add_object(struct fake *fake, size_t slot,
                       const struct fake_attribute *attributes, size_t n)
{
    struct fake_object *object = NULL;
    size_t number = 0;
    size_t i = 0;

    pthread_mutex_lock(&fake->lock);
    /* The place of a removed object is not used again: it may be signing. */
    while (number < FAKE_MAX_OBJECTS &&
           fake->objects[number].handle != CK_INVALID_HANDLE)
        number++;
    if (number == FAKE_MAX_OBJECTS || slot >= fake->n_slots)
        fake_die("too many objects", "or no such slot");
    object = &fake->objects[number];
    object->present = true;
    object->number = number;
    object->slot = slot;
    object->handle = ++fake->last_handle;
    for (i = 0; i < n; i++)
        set_attribute(object, attributes[i].type, attributes[i].value,
                      attributes[i].len);
    pthread_mutex_unlock(&fake->lock);
    return number;
}

static struct fake_object *the_object(struct fake *fake, size_t number)
{
    if (number >= FAKE_MAX_OBJECTS || !fake->objects[number].present)
        fake_die("no object", "with that number");
    return &fake->objects[number];
}

CK_OBJECT_HANDLE fake_handle(struct fake *fake, size_t object)
{
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;

    pthread_mutex_lock(&fake->lock);
    handle = the_object(fake, object)->handle;
    pthread_mutex_unlock(&fake->lock);
    return handle;
}

void fake_remove_object(struct fake *fake, size_t object)
{
    pthread_mutex_lock(&fake->lock);
    the_object(fake, object)->present = false;
    pthread_mutex_unlock(&fake->lock);
}

void fake_set_attribute(struct fake *fake, size_t object,
                        CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    pthread_mutex_lock(&fake->lock);
    set_attribute(the_object(fake, object), type, value, len);
    pthread_mutex_unlock(&fake->lock);
}

void fake_fail(struct fake *fake, const char *function, CK_RV rv,
               unsigned long first, unsigned long count)
{
    check_function(function);
    if (rv == CKR_OK || first == 0)
        fake_die("a rule needs an error, and a call from 1 on", function);
    pthread_mutex_lock(&fake->lock);
    if (fake->n_rules == FAKE_MAX_RULES)
        fake_die("too many rules", function);
    fake->rules[fake->n_rules++] = (struct fake_rule){
        .function = function, .rv = rv, .first = first, .count = count
    };
    pthread_mutex_unlock(&fake->lock);
}

void fake_fail_none(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->n_rules = 0;
    pthread_mutex_unlock(&fake->lock);
}

/* Every rule counts the call; the first that fits answers. */
static CK_RV apply_rules(struct fake *fake, const char *function)
{
    CK_RV rv = CKR_OK;
    size_t i = 0;

    for (i = 0; i < fake->n_rules; i++) {
        struct fake_rule *rule = &fake->rules[i];

        if (strcmp(rule->function, function) != 0)
            continue;
        rule->seen++;
        if (rv == CKR_OK && rule->seen >= rule->first &&
            (rule->count == 0 || rule->seen - rule->first < rule->count))
            rv = rule->rv;
    }
    return rv;
}

void fake_forked(struct fake *fake)
{
    size_t i = 0;

    fake->active = 0;
    for (i = 0; i < FAKE_MAX_SESSIONS; i++)
        fake->sessions[i].busy = false;
    if (!fake->child_inherits) {
        fake_forget(fake);
        fake->initialized = false;
    }
}

CK_RV fake_enter(struct fake *fake, const struct fake_call *call)
{
    bool early = strcmp(call->function, "C_Initialize") == 0 ||
                 strcmp(call->function, "C_GetFunctionList") == 0;
    CK_RV rv = CKR_OK;

    if (fake->before != NULL)
        fake->before(fake, call->function, fake->before_arg);
    pthread_mutex_lock(&fake->lock);
    fake->active++;
    rv = apply_rules(fake, call->function);
    if (rv == CKR_OK && !fake->initialized && !early)
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    if (rv == CKR_OK && fake->dead && !early &&
        strcmp(call->function, "C_Finalize") != 0)
        rv = CKR_DEVICE_ERROR;
    return rv;
}

CK_RV fake_leave(struct fake *fake, struct fake_call *call, CK_RV rv)
{
    call->rv = rv;
    if (fake->n_calls == fake->room) {
        size_t room = fake->room == 0 ? 64 : 2 * fake->room;
        void *calls = realloc(fake->calls, room * sizeof(*fake->calls));

        if (calls == NULL)
            fake_die("out of memory", "for the log");
        fake->calls = calls;
        fake->room = room;
    }
    fake->calls[fake->n_calls++] = *call;
    fake->active--;
    pthread_mutex_unlock(&fake->lock);
    return rv;
}

void fake_kill(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->dead = true;
    pthread_mutex_unlock(&fake->lock);
}

void fake_lose(struct fake *fake, unsigned what)
{
    pthread_mutex_lock(&fake->lock);
    if ((what & FAKE_SESSIONS) != 0)
        memset(fake->sessions, 0, sizeof(fake->sessions));
    if ((what & FAKE_LOGIN) != 0)
        fake_lose_login(fake);
    if ((what & FAKE_HANDLES) != 0)
        fake_renew_handles(fake, NULL, false);
    pthread_mutex_unlock(&fake->lock);
}

void fake_calls_reset(struct fake *fake)
{
    pthread_mutex_lock(&fake->lock);
    fake->n_calls = 0;
    pthread_mutex_unlock(&fake->lock);
}

const char *fake_calls(struct fake *fake, char *buf, size_t size)
{
    size_t len = 0;
    size_t i = 0;

    if (size == 0)
        fake_die("fake_calls", "no buffer");
    buf[0] = '\0';
    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < fake->n_calls; i++) {
        int n = snprintf(buf + len, size - len, "%s%s", i == 0 ? "" : " ",
                         fake->calls[i].function);

        if (n < 0 || (size_t)n >= size - len)
            fake_die("fake_calls", "the buffer is too small");
        len += (size_t)n;
    }
    pthread_mutex_unlock(&fake->lock);
    return buf;
}

bool fake_call(struct fake *fake, const char *function, size_t n,
               struct fake_call *call)
{
    bool found = false;
    size_t i = 0;

    if (function != NULL)
        check_function(function);
    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < fake->n_calls && !found; i++) {
        if (function != NULL && strcmp(fake->calls[i].function, function) != 0)
            continue;
        found = n == 0;
        if (found)
            *call = fake->calls[i];
        n--;
    }
    pthread_mutex_unlock(&fake->lock);
    return found;
}

size_t fake_count(struct fake *fake, const char *function)
{
    size_t count = 0;
    size_t i = 0;

    if (function != NULL)
        check_function(function);
    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < fake->n_calls; i++) {
        if (function == NULL || strcmp(fake->calls[i].function, function) == 0)
            count++;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

size_t fake_asked(struct fake *fake, CK_ATTRIBUTE_TYPE type)
{
    size_t count = 0;
    size_t i = 0;
    size_t j = 0;

    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < fake->n_calls; i++) {
        const struct fake_call *call = &fake->calls[i];

        if (strcmp(call->function, "C_GetAttributeValue") != 0)
            continue;
        if (call->n_types > FAKE_MAX_TYPES)
            fake_die("fake_asked", "a template is longer than the log keeps");
        while (j < call->n_types && call->types[j] != type)
            j++;
        count += j < call->n_types;
        j = 0;
    }
    pthread_mutex_unlock(&fake->lock);
    return count;
}

size_t fake_asked_private(struct fake *fake)
{
    size_t count = 0;
    size_t i = 0;

    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < fake->n_calls; i++)
        count += fake->calls[i].asked_private;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

size_t fake_open_sessions(struct fake *fake)
{
    size_t count = 0;
    size_t i = 0;

    pthread_mutex_lock(&fake->lock);
    for (i = 0; i < FAKE_MAX_SESSIONS; i++)
        count += fake->sessions[i].handle != CK_INVALID_HANDLE;
    pthread_mutex_unlock(&fake->lock);
    return count;
}

bool fake_logged_in(struct fake *fake, size_t slot)
{
    bool logged_in = false;

    pthread_mutex_lock(&fake->lock);
    logged_in = slot < fake->n_slots && fake->slots[slot].logged_in;
    pthread_mutex_unlock(&fake->lock);
    return logged_in;
}

unsigned long fake_violations(struct fake *fake)
{
    unsigned long violations = 0;

    pthread_mutex_lock(&fake->lock);
    violations = fake->violations;
    pthread_mutex_unlock(&fake->lock);
    return violations;
}

CK_RV fake_sign_echo(struct fake *fake, const struct fake_object *key,
                     const CK_MECHANISM *mechanism, const unsigned char *data,
                     size_t len, unsigned char *sig, size_t *siglen)
{
    (void)fake;
    (void)key;
    if (len > FAKE_MAX_SIGNATURE - 2)
        return CKR_DATA_LEN_RANGE;
    sig[0] = (unsigned char)(mechanism->mechanism >> 8);
    sig[1] = (unsigned char)mechanism->mechanism;
    if (len != 0)
        memcpy(sig + 2, data, len);
    *siglen = len + 2;
    return CKR_OK;
}
