/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A PIN is read straight into the pages where it stays: no stdio, whose
 * buffers are heap memory that is freed as it is, and no copy on the stack.
 * So there is one place to cleanse.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"
#include "pin.h"

struct p11_pin {
    size_t len;
    /* Room for the line end that a file has and a PIN has not. */
    unsigned char bytes[P11_PIN_MAX + sizeof("\r\n") - 1];
};

/*
 * Pages of its own, since locks and dump flags are a page's.  All of that is
 * best effort: a PIN in a page that might be swapped is better than none.
 * The child of a fork needs the PIN for its own login, so that neither
 * MADV_DONTFORK nor MADV_WIPEONFORK is right.
 */
static struct p11_pin *pin_alloc(void)
{
    struct p11_pin *pin = mmap(NULL, sizeof(*pin), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pin == MAP_FAILED)
        return NULL;
    (void)madvise(pin, sizeof(*pin), MADV_DONTDUMP);
    if (mlock(pin, sizeof(*pin)) != 0)
        p11_log(P11_LOG_INFO, "a PIN cannot be locked in memory: %m");
    return pin;
}

struct p11_pin *p11_pin_new(const void *pin, size_t len)
{
    struct p11_pin *copy = len <= P11_PIN_MAX ? pin_alloc() : NULL;

    if (copy == NULL)
        return NULL;
    memcpy(copy->bytes, pin, len);
    copy->len = len;
    return copy;
}

void p11_pin_free(struct p11_pin *pin)
{
    if (pin == NULL)
        return;
    explicit_bzero(pin, sizeof(*pin));
    (void)munmap(pin, sizeof(*pin)); /* unlocks too */
}

const unsigned char *p11_pin_bytes(const struct p11_pin *pin, size_t *len)
{
    /* The child of a fork inherits the pages, but not their lock. */
    (void)mlock(pin, sizeof(*pin));
    *len = pin->len;
    return pin->bytes;
}

bool p11_pin_equal(const struct p11_pin *a, const struct p11_pin *b)
{
    volatile unsigned char differ = 0;

    if (a == NULL || b == NULL)
        return a == b;
    if (a->len != b->len)
        return false;
    for (size_t i = 0; i < a->len; i++)
        differ = (unsigned char)(differ | (a->bytes[i] ^ b->bytes[i]));
    return differ == 0;
}

CK_RV p11_pin_source_set(enum p11_pin_kind kind, const char *value,
                         const char *origin, struct p11_pin_source *source,
                         struct p11_error *err)
{
    if (kind == P11_PIN_LITERAL) {
        if (strlen(value) > P11_PIN_MAX)
            return p11_error_set(err, P11_CONFIG,
                                 "%s: the PIN is longer than %d bytes", origin,
                                 P11_PIN_MAX);
        source->literal = p11_pin_new(value, strlen(value));
    } else {
        if (value[0] == '\0')
            return p11_error_set(err, P11_CONFIG, "%s names no %s", origin,
                                 kind == P11_PIN_FILE ? "file"
                                                      : "environment variable");
        source->name = strdup(value);
    }
    if (source->literal == NULL && source->name == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "%s: out of memory", origin);
    source->kind = kind;
    source->origin = origin;
    return CKR_OK;
}

CK_RV p11_pin_source_parse(const char *value, const char *origin,
                           struct p11_pin_source *source, struct p11_error *err)
{
    if (strncmp(value, "file:", 5) == 0)
        return p11_pin_source_set(P11_PIN_FILE, value + 5, origin, source, err);
    if (strncmp(value, "env:", 4) == 0)
        return p11_pin_source_set(P11_PIN_ENV, value + 4, origin, source, err);
    return p11_pin_source_set(P11_PIN_LITERAL, value, origin, source, err);
}

CK_RV p11_pin_source_uri(const char *value, struct p11_pin_source *source,
                         struct p11_error *err)
{
    const char *path = value;

    /* RFC 8089: the scheme's and the host's case do not matter. */
    if (strncasecmp(value, "file://localhost/", 17) == 0)
        path += 16;
    else if (strncasecmp(value, "file:///", 8) == 0)
        path += 7;
    else if (strncasecmp(value, "file:", 5) == 0 &&
             strncmp(value + 5, "//", 2) != 0)
        path += 5;
    else if (value[0] != '/')
        path = "";
    /* The value is not shown: it might be a PIN that was meant for pin-value */
    if (path[0] == '\0')
        return p11_error_set(err, P11_PIN_SOURCE,
                             "pin-source is neither \"file:PATH\" on this "
                             "machine nor an absolute path; commands are not "
                             "run, and the PIN itself goes into pin-value");
    return p11_pin_source_set(P11_PIN_FILE, path, "pin-source", source, err);
}

void p11_pin_source_clear(struct p11_pin_source *source)
{
    p11_pin_free(source->literal);
    free(source->name);
    memset(source, 0, sizeof(*source));
}

/*
 * Read the first line, without its end, into pin.  A byte at a time: nothing
 * behind the line ever gets into memory, and it is done once a login.
 */
static bool read_line(int fd, struct p11_pin *pin)
{
    ssize_t n;

    while (pin->len < sizeof(pin->bytes)) {
        n = read(fd, pin->bytes + pin->len, 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        if (pin->bytes[pin->len] == '\n') {
            if (pin->len > 0 && pin->bytes[pin->len - 1] == '\r')
                pin->len--;
            return true;
        }
        pin->len++;
    }
    return true;
}

static CK_RV read_file(const struct p11_pin_source *source, struct p11_pin *pin,
                       struct p11_error *err)
{
    struct stat st;
    CK_RV rv = CKR_OK;
    int fd;

    /* Opening a FIFO waits for its writer, and a signal may end that. */
    do {
        fd = open(source->name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    } while (fd < 0 && errno == EINTR);
    if (fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 077) != 0 &&
        !S_ISDIR(st.st_mode))
        p11_log(P11_LOG_WARNING,
                "%s: others may use the PIN file %s (mode %04o); chmod 600 it",
                source->origin, source->name, (unsigned)st.st_mode & 07777);
    if (fd < 0 || !read_line(fd, pin)) /* or EISDIR */
        rv = p11_error_set(err, P11_PIN_SOURCE, "%s: cannot read %s: %m",
                           source->origin, source->name);
    if (fd >= 0)
        (void)close(fd);
    return rv;
}

/* Not in a program with more rights than its caller's. */
static CK_RV read_variable(const struct p11_pin_source *source,
                           struct p11_pin *pin, struct p11_error *err)
{
    const char *value = secure_getenv(source->name);

    if (value == NULL)
        return p11_error_set(err, P11_PIN_SOURCE,
                             "%s: the environment variable %s is not set",
                             source->origin, source->name);
    pin->len = strnlen(value, sizeof(pin->bytes));
    memcpy(pin->bytes, value, pin->len);
    return CKR_OK;
}

/* One that is too long has a length above P11_PIN_MAX when it was read. */
static CK_RV read_source(const struct p11_pin_source *source,
                         struct p11_pin *pin, struct p11_error *err)
{
    bool literal = source->kind == P11_PIN_LITERAL;
    const char *in = literal ? "" : " in ", *name = literal ? "" : source->name;
    CK_RV rv = CKR_OK;

    if (source->kind == P11_PIN_FILE)
        rv = read_file(source, pin, err);
    else if (source->kind == P11_PIN_ENV)
        rv = read_variable(source, pin, err);
    else
        memcpy(pin, source->literal, sizeof(*pin));
    /* "pin-value=$PIN" with PIN unset must not cost one of the token's tries */
    if (rv == CKR_OK && pin->len == 0)
        rv = p11_error_set(err, P11_PIN_SOURCE, "%s: the PIN%s%s is empty",
                           source->origin, in, name);
    else if (rv == CKR_OK && pin->len > P11_PIN_MAX)
        rv = p11_error_set(err, P11_PIN_SOURCE,
                           "%s: the PIN%s%s is longer than %d bytes",
                           source->origin, in, name, P11_PIN_MAX);
    return rv;
}

static CK_RV ask(const struct p11_pin_request *request, const char *label,
                 struct p11_pin *pin, struct p11_error *err)
{
    /* Return pressed at the prompt is no answer: not worth a token's try. */
    if (request->prompt != NULL &&
        request->prompt(request->prompt_arg, label, (char *)pin->bytes,
                        P11_PIN_MAX, &pin->len) &&
        pin->len > 0 && pin->len <= P11_PIN_MAX)
        return CKR_OK;
    return p11_error_set(err, P11_NO_PIN, "token \"%s\": %s", label,
                         p11_rv_info(P11_NO_PIN)->fix);
}

CK_RV p11_pin_get(const struct p11_pin_request *request, const char *label,
                  struct p11_pin **pin, struct p11_error *err)
{
    const struct p11_pin_source *source = request->uri;
    struct p11_pin *new = pin_alloc();
    CK_RV rv;

    if (new == NULL)
        return p11_error_set(err, CKR_HOST_MEMORY, "no memory for a PIN");
    if (source == NULL || source->kind == P11_PIN_NONE)
        source = request->config;
    if (source == NULL || source->kind == P11_PIN_NONE)
        rv = ask(request, label, new, err);
    else
        rv = read_source(source, new, err);
    if (rv == CKR_OK)
        *pin = new;
    else
        p11_pin_free(new);
    return rv;
}
