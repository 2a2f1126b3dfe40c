/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain of the audit log, checked in one pass.  What is wrong is told where
 * it is seen, and the check goes on from there.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
#include <openssl/evp.h>
#include "audit_line.h"

/* For the rest of a line that is being written just now. */
#define WAIT_US 100000

/* Lines that are none, up to the next that is one. */
struct rest {
    EVP_MD_CTX *hash;
    uint64_t lines, cut; /* of these, cut off */
    uint64_t line;       /* the first of those */
};

struct check {
    FILE *out, *err;
    const char *path;
    uint64_t line; /* its number in the file */
    struct rest rest;
    struct audit_line first; /* of the file */
    struct audit_line last;  /* seq 0: there was none */
    struct audit_line top;   /* the one of the highest seq */
    uint64_t holes;          /* since last, lines that were told to be bad */
    uint64_t lines, breaks;  /* of the file */
    bool broken, no_memory;
};

__attribute__((format(printf, 4, 5))) static void
say(struct check *c, const char *path, uint64_t line, const char *format, ...)
{
    va_list args;

    (void)fprintf(c->err, "%s:%" PRIu64 ": ", path, line);
    va_start(args, format);
    (void)vfprintf(c->err, format, args);
    va_end(args);
    (void)fputc('\n', c->err);
}

#define BREAK(c, ...)                                                          \
    ((c)->breaks++, say((c), (c)->path, (c)->line, __VA_ARGS__))

static void add_rest(struct check *c, const char *data, size_t len, bool begins)
{
    struct rest *r = &c->rest;
    bool ok = true;

    if (begins)
        ok = r->lines++ == 0 ? EVP_DigestInit_ex(r->hash, EVP_sha256(), NULL)
                             : EVP_DigestUpdate(r->hash, "\n", 1);
    if (!ok || !EVP_DigestUpdate(r->hash, data, len))
        c->no_memory = true;
}

/*
 * Before line, or at the end of a file: NULL.  A crash leaves lines cut off;
 * the next line in the file then has the hash of all that is none.  Behind the
 * last whole line of a file that another follows, they hide nothing: the other
 * shows which line that is.
 */
static void end_rest(struct check *c, const struct audit_line *line,
                     bool is_last)
{
    struct rest *r = &c->rest;
    unsigned char md[EVP_MAX_MD_SIZE];
    char hash[AUDIT_HASH] = "";
    bool good;

    if (r->lines > 0 && !EVP_DigestFinal_ex(r->hash, md, NULL))
        c->no_memory = true;
    else if (r->lines > 0)
        audit_hex(md, sizeof(hash) / 2, hash);
    good = line != NULL ? strcmp(hash, line->torn) == 0 : !is_last;
    if (line != NULL && !good && line->torn[0] != '\0')
        BREAK(c, "altered or removed: what stood before this line and was not "
                 "written whole");
    if (r->cut > 0 && !good)
        c->breaks++;
    if (r->cut > 0)
        say(c, c->path, r->line, "%s",
            good           ? "torn: not written whole, by a crash or on a full "
                             "disk, and nothing follows from it (no fault)"
            : line != NULL ? "altered: it is no whole line"
                           : "torn or altered: it is no whole line, and none "
                             "is behind it; hsmsignd goes on there");
    if (!good)
        c->holes += r->lines;
    else if (line == NULL)
        c->holes += r->lines - r->cut;
    r->lines = r->cut = 0;
}

static void check_rest(struct check *c, const char *text, size_t len,
                       enum audit_line_state state)
{
    add_rest(c, text, len, true);
    if (state == AUDIT_LINE_ALTERED)
        BREAK(c, "altered: its hash is not that of what it says");
    else if (state == AUDIT_LINE_ALIEN)
        BREAK(c, "inserted or altered: it is no line of hsmsignd");
    else if (c->rest.cut++ == 0)
        c->rest.line = c->line;
}

static bool follows(const struct audit_line *line,
                    const struct audit_line *before)
{
    return line->seq == before->seq + 1 &&
           strcmp(line->prev, before->this) == 0;
}

/* What it means that the line does not follow. */
static void explain(struct check *c, const struct audit_line *line)
{
    const struct audit_line *top = &c->top;
    uint64_t missing = line->seq - top->seq - 1;

    if (strcmp(line->this, top->this) == 0 ||
        strcmp(line->this, c->last.this) == 0)
        BREAK(c, "repeated: it is the line before once more");
    else if (line->seq == 1 && strcmp(line->prev, AUDIT_NO_HASH) == 0)
        BREAK(c, "a new chain begins: hsmsignd started with an empty file, or "
                 "what it went on from was removed");
    else if (line->seq <= top->seq)
        BREAK(c, "reordered or inserted: seq %" PRIu64 " comes after %" PRIu64,
              line->seq, top->seq);
    else if (missing > c->holes)
        BREAK(c,
              "removed: before it %" PRIu64 " line(s) from seq %" PRIu64
              " on are missing",
              missing - c->holes, top->seq + 1);
    else if (missing == 0)
        BREAK(c, "altered or inserted: the line before is not the one that "
                 "this one was written after");
}

static void check_line(struct check *c, const char *text, size_t len)
{
    struct audit_line line;
    enum audit_line_state state = audit_line_read(text, len, &line);

    if (state != AUDIT_LINE_GOOD) {
        check_rest(c, text, len, state);
        return;
    }
    end_rest(c, &line, false);
    if (c->last.seq == 0) {
        if ((line.seq == 1) != (strcmp(line.prev, AUDIT_NO_HASH) == 0))
            BREAK(c, "altered: it is the first line by seq or by prev alone");
        if (line.seq > 1)
            say(c, c->path, c->line,
                "the chain begins before it: name the earlier files too "
                "(no fault)");
    } else if (!follows(&line, &c->last) && !follows(&line, &c->top)) {
        explain(c, &line);
    }
    c->holes = 0;
    c->last = line;
    if (line.seq > c->top.seq || line.seq == 1)
        c->top = line;
    if (c->lines++ == 0)
        c->first = line;
}

/* The next piece of a line, and whether the line ends with it. */
static bool read_piece(FILE *file, char text[AUDIT_LINE_MAX], size_t *len,
                       bool *ends)
{
    bool waited = false;

    *ends = true;
    for (*len = 0; *len < AUDIT_LINE_MAX;) {
        int byte = getc(file);

        if (byte == '\n')
            return true;
        if (byte != EOF) {
            text[(*len)++] = (char)byte;
        } else if (*len == 0 || waited || ferror(file) != 0) {
            return *len > 0 && ferror(file) == 0;
        } else {
            waited = true;
            clearerr(file);
            (void)usleep(WAIT_US);
        }
    }
    *ends = false;
    return true;
}

static void check_lines(struct check *c, FILE *file)
{
    char text[AUDIT_LINE_MAX];
    bool ends, begins = true;
    size_t len;

    for (; read_piece(file, text, &len, &ends); begins = ends) {
        c->line += begins;
        if (begins && ends) {
            check_line(c, text, len);
            continue;
        }
        add_rest(c, text, len, begins);
        if (begins)
            BREAK(c, "inserted or altered: no line of hsmsignd is as long");
    }
}

/* False: it cannot be read. */
static bool check_file(struct check *c, const char *path, bool is_last)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    bool ok = file != NULL;

    c->path = path;
    c->line = c->lines = c->breaks = 0;
    if (ok)
        check_lines(c, file);
    if (!ok || ferror(file) != 0 || c->no_memory) {
        errno = c->no_memory ? ENOMEM : errno;
        (void)fprintf(c->err, "hsmsignd: %s: %m\n", path);
        ok = false;
    }
    if (file != NULL && file != stdin)
        (void)fclose(file);
    if (!ok)
        return false;
    end_rest(c, NULL, is_last);
    /* It is never left so: there is a line for the opening. */
    if (c->line == 0)
        BREAK(c, "removed: the file is empty");
    if (c->breaks > 0)
        (void)fprintf(c->out, "%s: broken in %" PRIu64 " place(s)\n", path,
                      c->breaks);
    else if (c->lines > 0)
        (void)fprintf(c->out,
                      "%s: %" PRIu64 " line(s), seq %" PRIu64 " to %" PRIu64
                      ", chain from %s to %s\n",
                      path, c->lines, c->first.seq, c->last.seq, c->first.prev,
                      c->last.this);
    c->broken = c->broken || c->breaks > 0;
    return true;
}

int audit_verify(char *const *paths, FILE *out, FILE *err)
{
    struct check c = { .out = out, .err = err };
    bool ok = true;

    c.rest.hash = EVP_MD_CTX_new();
    c.no_memory = c.rest.hash == NULL;
    for (; ok && *paths != NULL; paths++)
        ok = check_file(&c, *paths, paths[1] == NULL);
    EVP_MD_CTX_free(c.rest.hash);
    return ok ? c.broken : 2;
}
