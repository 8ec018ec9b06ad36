/* tok_json_text.c - what a tokenizer.json does to a text around its model: normalizer, pre-tokenizer, decoder.
 *
 * Reads: tok_json_impl.h.   Read next: tok_json_special.c.
 * Hugging Face's tokenizers compose these from parts; we run five compositions of pre-tokenizers and what the families
 * of SentencePiece need. Each part is read into flags, a pre-tokenizer into one letter of a word, and the whole is
 * looked up: a part or a composition that is not among them is refused by name.
 */
#include "nn/arena.h"
#include "nn/tok_json_impl.h"
#include <string.h>

#define MARK "\xe2\x96\x81" /* U+2581, SentencePiece's blank */

static bool text_is(const char *s, const char *want)
{
    return s && strcmp(s, want) == 0;
}

const char *nn_tok_json_type(nn_tok_json *j)
{
    static const char *const names[] = {"type"};
    nn_json_fields f = {names, 1, 0, 0, ""};
    const size_t start = j->c.pos;
    const char *type = NULL;

    if (nn_json_null(&j->c)) {
        nn_cursor_seek(&j->c, start);
        return "";
    }
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k == 0) type = nn_json_string(&j->c, &j->pool);
        else nn_json_skip(&j->c);
    }
    if (!type) nn_cursor_fail(&j->c, "a part without \"type\"");
    nn_cursor_seek(&j->c, start);
    return type ? type : "";
}

/* --- options of a part ----------------------------------------------------------------------------------- */

/* All that the parts we know have; a key that is none of these is refused. */
enum {
    TYPE, PREPEND, PATTERN, CONTENT, STRIP_LEFT, STRIP_RIGHT, CHARSMAP, LIST_NORMALIZERS, LIST_PRE, LIST_DECODERS,
    ADD_PREFIX_SPACE, TRIM_OFFSETS, USE_REGEX, INDIVIDUAL, BEHAVIOR, REPLACEMENT, SCHEME, SPLIT, INVERT, START, STOP,
    N_OPTIONS
};

static const char *const option_names[N_OPTIONS] = {
    "type", "prepend", "pattern", "content", "strip_left", "strip_right", "precompiled_charsmap", "normalizers",
    "pretokenizers", "decoders", "add_prefix_space", "trim_offsets", "use_regex", "individual_digits", "behavior",
    "replacement", "prepend_scheme", "split", "invert", "start", "stop"};

typedef struct {
    const char *text[N_OPTIONS]; /* of strings; NULL when absent */
    bool flag[N_OPTIONS];        /* of true and false */
    bool has[N_OPTIONS];
    double number[N_OPTIONS];
    bool regex;     /* pattern: "Regex", else "String" */
    size_t list;    /* where the list of a Sequence begins; 0: none */
} options;

/* {"Regex": ..} or {"String": ..} */
static void read_pattern(nn_tok_json *j, options *o)
{
    static const char *const names[] = {"String", "Regex"};
    nn_json_fields f = {names, 2, 0, 0, ""};

    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k == 2) nn_cursor_fail(&j->c, "pattern of kind \"%s\", want String or Regex", f.key);
        if (k == 2) return;
        o->regex = k == 1;
        o->text[PATTERN] = nn_json_string(&j->c, &j->pool);
    }
}

static void read_option(nn_tok_json *j, options *o, int k)
{
    switch (nn_json_peek(&j->c)) {
    case NN_JSON_STRING: o->text[k] = nn_json_string(&j->c, &j->pool); break;
    case NN_JSON_BOOL: o->flag[k] = nn_json_bool(&j->c); break;
    case NN_JSON_NUMBER: o->number[k] = nn_json_f64(&j->c); break;
    case NN_JSON_ARRAY:
        o->list = j->c.pos;
        nn_json_skip(&j->c);
        break;
    case NN_JSON_OBJECT:
        if (k == PATTERN) read_pattern(j, o);
        else nn_cursor_fail(&j->c, "\"%s\": an object is not expected here", option_names[k]);
        break;
    case NN_JSON_NULL:
        (void)nn_json_null(&j->c);
        o->has[k] = false;
        break;
    case NN_JSON_NOTHING: nn_cursor_fail(&j->c, "no JSON value here"); break;
    }
}

/* The whole object; false for null and after an error. */
static bool read_options(nn_tok_json *j, options *o)
{
    nn_json_fields f = {option_names, N_OPTIONS, 0, 0, ""};

    memset(o, 0, sizeof *o);
    if (nn_json_null(&j->c)) return false;
    for (int k = nn_json_field(&j->c, &j->pool, &f); k != NN_JSON_DONE; k = nn_json_field(&j->c, &j->pool, &f)) {
        if (k == N_OPTIONS) {
            nn_cursor_fail(&j->c, "option \"%s\" is not run", f.key);
            return false;
        }
        o->has[k] = true;
        read_option(j, o, k);
    }
    if (j->c.status == NN_OK && !o->text[TYPE]) nn_cursor_fail(&j->c, "a part without \"type\"");
    return j->c.status == NN_OK;
}

/* Calls fn for each element of a Sequence's list; the cursor then stands behind the Sequence again. */
static void each(nn_tok_json *j, const options *o, void (*fn)(nn_tok_json *, const options *))
{
    const size_t end = j->c.pos;
    size_t n = 0;
    options part;

    if (o->list == 0) {
        nn_cursor_fail(&j->c, "a Sequence without its list");
        return;
    }
    nn_cursor_seek(&j->c, o->list);
    while (nn_json_item(&j->c, &n))
        if (read_options(j, &part)) fn(j, &part);
    nn_cursor_seek(&j->c, end);
}

/* --- normalizer ------------------------------------------------------------------------------------------ */

static int base64_digit(char ch)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = ch != '\0' ? strchr(digits, ch) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* RFC 4648, with padding; into the vocabulary. */
static void take_charsmap(nn_tok_json *j, const char *text)
{
    const size_t len = text ? strlen(text) : 0;
    unsigned char *out = NULL;
    size_t n = 0, end = len;
    uint32_t bits = 0;

    if (len == 0) return;
    if (j->v->charsmap_owned) nn_cursor_fail(&j->c, "normalizer Precompiled twice");
    while (end > 0 && len - end < 2 && text[end - 1] == '=') end--;
    if (len % 4 != 0) nn_cursor_fail(&j->c, "precompiled_charsmap: no base64");
    if (j->c.status != NN_OK) return;
    const nn_status st = nn_alloc((void **)&out, len / 4 * 3, 1, j->err);
    if (st != NN_OK) {
        j->c.status = st;
        return;
    }
    j->v->charsmap = j->v->charsmap_owned = out;
    for (size_t i = 0; i < end; i++) {
        const int digit = base64_digit(text[i]);

        if (digit < 0) nn_cursor_fail(&j->c, "precompiled_charsmap: no base64");
        if (digit < 0) return;
        bits = bits << 6 | (uint32_t)digit;
        if (i % 4 != 0) out[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)) & 0xff);
    }
    j->v->charsmap_len = n;
}

/* Replace: ' ' by U+2581, or (Unigram's) runs of blanks by one. */
static void take_replace(nn_tok_json *j, const options *o)
{
    const char *pattern = o->text[PATTERN], *by = o->text[CONTENT];

    if (!o->regex && text_is(pattern, " ") && text_is(by, MARK)) j->blanks_marked = true;
    else if (o->regex && text_is(pattern, " {2,}") && (text_is(by, MARK) || text_is(by, " "))) j->v->squeeze = true;
    else
        nn_cursor_fail(&j->c, "normalizer Replace \"%.40s\" is not run, want \" \" by U+2581, or \" {2,}\"",
                       pattern ? pattern : "");
}

static void take_normalizer(nn_tok_json *j, const options *o)
{
    const char *type = o->text[TYPE];

    if (text_is(type, "NFC")) {
        j->v->nfc = true;
    } else if (text_is(type, "NFKC")) {
        j->v->nfkc = true;
    } else if (text_is(type, "Lowercase")) {
        j->v->lowercase = true;
    } else if (text_is(type, "Precompiled")) {
        take_charsmap(j, o->text[CHARSMAP]);
    } else if (text_is(type, "Prepend")) {
        if (!text_is(o->text[PREPEND], MARK)) nn_cursor_fail(&j->c, "normalizer Prepend of another text than U+2581");
        j->prepend = true;
    } else if (text_is(type, "Replace")) {
        take_replace(j, o);
    } else if (text_is(type, "Strip") && o->flag[STRIP_RIGHT]) {
        j->v->squeeze = true; /* comes with " {2,}" where SentencePiece's remove_extra_whitespaces was converted */
    } else {
        nn_cursor_fail(&j->c,
                       "normalizer \"%.40s\" is not run, want NFC, NFKC, Lowercase, Prepend, Replace, Precompiled",
                       type);
    }
}

void nn_tok_json_normalizer(nn_tok_json *j)
{
    options o;

    if (!read_options(j, &o)) return;
    if (text_is(o.text[TYPE], "Sequence")) each(j, &o, take_normalizer);
    else take_normalizer(j, &o);
}

/* --- pre-tokenizer --------------------------------------------------------------------------------------- */

/* What follows the contractions in the patterns of Llama-3 and Qwen2. */
#define WORDS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define ANY_CASE "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
#define BOTH_CASES "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)"

/* Regular expressions as the families' files spell them, each a letter of the shape. */
static const struct {
    const char *regex;
    char letter;
} patterns[] = {
    {ANY_CASE WORDS "\\p{N}{1,3}" REST, 'L'},
    {BOTH_CASES WORDS "\\p{N}{1,3}" REST, 'L'},
    {ANY_CASE WORDS "\\p{N}" REST, 'Q'},
    {BOTH_CASES WORDS "\\p{N}" REST, 'Q'},
    {GPT2 "|\\s+", '2'},
    {"[0-9][0-9][0-9]", '3'},
    {"\\p{N}", 'D'},
};

const char *nn_tok_json_pattern(char letter)
{
    size_t i = 0;

    while (patterns[i].letter != letter) i++; /* the caller names one that is there */
    return patterns[i].regex;
}

/* Which words of letters we run: G and B are ByteLevel with and without its own pattern, D single digits, d runs of
 * them, P punctuation, M Metaspace, W white space. That Falcon's runs of digits stand apart from what is before them
 * changes nothing: none of its tokens has a digit beside something else. */
static const struct {
    const char *shape;
    nn_tok_pre pre;
} shapes[] = {
    {"G", NN_PRE_GPT2},       {"2B", NN_PRE_GPT2},      {"LB", NN_PRE_LLAMA3}, {"QB", NN_PRE_QWEN2},
    {"DG", NN_PRE_STARCODER}, {"D2B", NN_PRE_STARCODER}, {"PGd3", NN_PRE_FALCON},
};

static char split_letter(nn_tok_json *j, const options *o)
{
    const bool isolated = text_is(o->text[BEHAVIOR], "Isolated") && !o->flag[INVERT];
    const bool kept = text_is(o->text[BEHAVIOR], "Removed") && o->flag[INVERT]; /* the same where a pattern takes all */

    for (size_t i = 0; o->regex && (isolated || kept) && i < sizeof patterns / sizeof *patterns; i++)
        if (text_is(o->text[PATTERN], patterns[i].regex) && (isolated || strchr("LQ2", patterns[i].letter)))
            return patterns[i].letter;
    nn_cursor_fail(&j->c,
                   "pre-tokenizer Split by \"%.60s\" (%.20s) is not run, want the pattern of GPT-2, Llama-3 or Qwen2",
                   o->text[PATTERN] ? o->text[PATTERN] : "", o->text[BEHAVIOR] ? o->text[BEHAVIOR] : "");
    return '?';
}

static char metaspace_letter(nn_tok_json *j, const options *o)
{
    const char *scheme = o->text[SCHEME];

    if (!text_is(o->text[REPLACEMENT], MARK)) nn_cursor_fail(&j->c, "Metaspace with another mark than U+2581");
    if (!scheme) scheme = !o->has[ADD_PREFIX_SPACE] || o->flag[ADD_PREFIX_SPACE] ? "always" : "never";
    if (text_is(scheme, "always") || text_is(scheme, "first")) j->prepend_missing = true;
    else if (!text_is(scheme, "never")) nn_cursor_fail(&j->c, "Metaspace with prepend_scheme \"%.20s\"", scheme);
    j->blanks_marked = true;
    j->words_apart = !o->has[SPLIT] || o->flag[SPLIT];
    return 'M';
}

static char byte_level_letter(nn_tok_json *j, const options *o)
{
    j->v->prefix_space = j->v->prefix_space || o->flag[ADD_PREFIX_SPACE];
    return o->has[USE_REGEX] && !o->flag[USE_REGEX] ? 'B' : 'G';
}

static void take_pre_tokenizer(nn_tok_json *j, const options *o)
{
    const char *type = o->text[TYPE];
    const size_t n = strlen(j->shape);
    char letter = '?';

    if (text_is(type, "ByteLevel")) letter = byte_level_letter(j, o);
    else if (text_is(type, "Split")) letter = split_letter(j, o);
    else if (text_is(type, "Digits")) letter = o->flag[INDIVIDUAL] ? 'D' : 'd';
    else if (text_is(type, "Metaspace")) letter = metaspace_letter(j, o);
    else if (text_is(type, "WhitespaceSplit")) letter = 'W';
    else if (text_is(type, "Punctuation") && text_is(o->text[BEHAVIOR], "Contiguous")) letter = 'P';
    else if (text_is(type, "Punctuation"))
        nn_cursor_fail(&j->c, "pre-tokenizer Punctuation is run as Contiguous alone");
    else
        nn_cursor_fail(&j->c,
                       "pre-tokenizer \"%.40s\" is not run, want ByteLevel, Split, Digits, Punctuation, Metaspace",
                       type);
    if (n == NN_TOK_JSON_STEPS) nn_cursor_fail(&j->c, "more than %u pre-tokenizers in a row", NN_TOK_JSON_STEPS);
    else j->shape[n] = letter; /* the rest is zero */
}

void nn_tok_json_pre_tokenizer(nn_tok_json *j)
{
    options o;

    if (!read_options(j, &o)) return;
    if (text_is(o.text[TYPE], "Sequence")) each(j, &o, take_pre_tokenizer);
    else take_pre_tokenizer(j, &o);
}

/* --- decoder --------------------------------------------------------------------------------------------- */

static void take_decoder(nn_tok_json *j, const options *o)
{
    const char *type = o->text[TYPE];
    const bool unmark = !o->regex && text_is(o->text[PATTERN], MARK) && text_is(o->text[CONTENT], " ");

    if (text_is(type, "ByteLevel")) {
        j->decodes_bytes = true;
    } else if (text_is(type, "Replace") && unmark) {
        j->decodes_blanks = true;
    } else if (text_is(type, "Strip") && text_is(o->text[CONTENT], " ") && o->number[START] == 1.0 &&
               o->number[STOP] == 0.0) {
        j->decodes_strip = true;
    } else if (text_is(type, "Metaspace")) {
        j->decodes_blanks = true;
        j->decodes_strip = j->decodes_strip || !text_is(o->text[SCHEME], "never");
    } else if (!text_is(type, "ByteFallback") && !text_is(type, "Fuse")) {
        nn_cursor_fail(&j->c, "decoder \"%.40s\" with these options is not run", type);
    }
}

void nn_tok_json_decoder(nn_tok_json *j)
{
    options o;

    if (!read_options(j, &o)) return;
    if (text_is(o.text[TYPE], "Sequence")) each(j, &o, take_decoder);
    else take_decoder(j, &o);
}

/* --- together -------------------------------------------------------------------------------------------- */

static nn_status refuse(const nn_tok_json *j, const char *what)
{
    return nn_fail(j->err, NN_FILE, "%s: %s", j->c.name, what);
}

static nn_status settle_byte_level(nn_tok_json *j)
{
    if (j->blanks_marked || j->prepend || j->v->charsmap || j->v->squeeze)
        return refuse(j, "normalizer: byte-level BPE with SentencePiece's blanks is not run");
    if (!j->decodes_bytes || j->decodes_blanks || j->decodes_strip)
        return refuse(j, "decoder: byte-level BPE wants ByteLevel alone");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!text_is(j->shape, shapes[i].shape)) continue;
        j->v->pre = shapes[i].pre;
        return NN_OK;
    }
    return refuse(j, "pre_tokenizer: these parts in this order are not run, want those of GPT-2, Llama-3, Qwen2, "
                     "StarCoder or Falcon");
}

/* Metaspace may cut at blanks before the model sees them; it shows only if a token reaches over one. */
nn_status nn_tok_json_check_words(const nn_tok_json *j)
{
    const size_t mark = strlen(MARK);

    for (size_t id = 0; j->words_apart && id < j->v->n; id++) {
        const nn_piece *p = &j->v->piece[id];

        if (p->type != NN_PIECE_NORMAL) continue;
        for (size_t i = 1; i + mark <= p->len; i++)
            if (memcmp(p->text + i, MARK, mark) == 0)
                return nn_fail(j->err, NN_FILE,
                               "%s: Metaspace with split is not run where token %zu has a blank inside", j->c.name, id);
    }
    return NN_OK;
}

static nn_status settle_sentencepiece(nn_tok_json *j)
{
    const bool metaspace = text_is(j->shape, "M") || text_is(j->shape, "WM");

    if (j->shape[0] != '\0' && !metaspace)
        return refuse(j, "pre_tokenizer: with SentencePiece's blanks only Metaspace is run");
    if (!j->blanks_marked) return refuse(j, "neither byte-level nor with blanks as U+2581: such a model is not run");
    if (j->decodes_bytes || !j->decodes_blanks) return refuse(j, "decoder: U+2581 is to become a blank again");
    if (j->shape[0] == 'W') {
        if (!j->v->charsmap) return refuse(j, "pre_tokenizer: WhitespaceSplit is run after Precompiled alone");
        j->v->squeeze = true; /* SentencePiece's normalizer has made blanks of all white space */
    }
    j->v->prefix_space = j->prepend || j->prepend_missing;
    j->v->prefix_unless_blank = j->prepend_missing && !j->prepend;
    if (j->v->prefix_space != j->decodes_strip)
        return refuse(j, "decoder: strips a first blank where none is put, or keeps one that is");
    return NN_OK;
}

nn_status nn_tok_json_settle(nn_tok_json *j)
{
    const bool byte_level = strchr(j->shape, 'G') || strchr(j->shape, 'B');

    j->v->model = j->unigram ? NN_TOK_UNIGRAM : (byte_level ? NN_TOK_BPE : NN_TOK_SPM);
    if (j->unigram && byte_level) return refuse(j, "pre_tokenizer: Unigram with ByteLevel is not run");
    return byte_level ? settle_byte_level(j) : settle_sentencepiece(j);
}
