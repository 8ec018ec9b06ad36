/* chat_template.c - the chat templates that were read: hash and family, never the text.
 *
 * Reads: chat.h, nn/sha256.h.
 * How a row gets here: eight conversations (with and without a system text, several turns, empty texts, white space
 * at both ends, texts that look like marks), each ending with the user, were rendered by Jinja2 3.1 with the options of
 * Hugging Face transformers, and every one came out byte for byte as guard_chat_text writes it. The hash is of the
 * template without one newline at its end, which Jinja does not print either.
 * Where they were read, all in public repositories: H huggingface.js, packages/jinja/test/e2e.test.js; G the templates
 * of GGUF files in huggingface.js, packages/ollama-utils/src/chat-template-automap.ts, by their name in Ollama's
 * library; L llama.cpp, tests/test-chat-template.cpp; C chujiezheng/chat_templates.
 */
#include "guard/chat.h"
#include "nn/sha256.h"
#include <string.h>

static const struct {
    char hash[NN_SHA256_HEX];
    const char *family;
} known[] = {
    {"58c1a1f04baa7adaeaba1f90267c3d57d9396f0c1f0129bdde9e76d3c6784af7",
     "chatml"}, /* H cognitivecomputations/dolphin-2.5-mixtral-8x7b */
    {"fcf7a096fe99a48fd9ad2b250bf9237e96e8f48bffec1c7ea4d3f225176cd40e",
     "chatml"}, /* L teknium/OpenHermes-2.5-Mistral-7B */
    {"e8c6cd531610b8110e563b1979325620c1fc791654114a3f6522aa0ab1ea619b",
     "chatml"}, /* G cogito:14b */
    {"153280e3ff55d19da1398bdb3914ee2a51b80429bfaedde11d7d216c39db80f3",
     "chatml"}, /* G llava:34b */
    {"75f5fed5cd66cc75ae786ae18dfc2963a864001767000af694111675e947e0d5",
     "chatml"}, /* G yi-coder:1.5b */
    {"3ce2fe9753f9a77a601f55dfcab7cd46fbc91324aae0f78ca38d194a4eaef8d5",
     "bos-chatml"}, /* H internlm/internlm2-chat-7b */
    {"49aa7cb516942cc5a17d45ed2939828e3b5e4188dc487a3c4b64a570e5b5111f",
     "bos-chatml"}, /* G internlm2:1.8b */
    {"a805e50fed68938a076b07e2e602639611b50b1ced0e50f11eb92f1ba25be4dc",
     "bos-chatml"}, /* G nous-hermes2-mixtral:8x7b */
    {"0254937901f084d545e18931d7fb449f97c3dfd665f1bdd0af6f5b3fb3dd3312",
     "qwen2"}, /* H MadeAgents/Hammer2.1 */
    {"a0bc6f6fc7a29a80017a433e8f03a1cc1236e838a944a2d034295a60c4f2fddb",
     "qwen2"}, /* H Qwen/Qwen2.5-VL-7B-Instruct */
    {"793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb",
     "qwen2"}, /* G qwen2:0.5b */
    {"e187bfdc80c84e1a951e74d76368da6c603a74a3e45a44685b12bc46ee7540a7",
     "qwen2"}, /* G smallthinker:3b */
    {"f02c534193010c4bd1e40fe3dd501147fa46cebadb0769d97217a2c785028783",
     "qwen2"}, /* G stable-code:3b */
    {"ff3042c0f32a50b9a48604b484daf3934aafa5626acb4bc183ce5f2e102faef6",
     "qwen2.5"}, /* C qwen2.5-instruct.jinja */
    {"55b2f4a26ac9ee719330a61a0c39d9e538b0e9322212f048326318cff4f8674a",
     "qwen2.5"}, /* H Qwen/Qwen2.5-7B-Instruct */
    {"4e9918361c284a93880606d182d64da6a9fe97cdc1f5c5a78c1c8840444246fc",
     "qwen2.5"}, /* G qwen2.5:0.5b */
    {"87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",
     "qwen3"}, /* H Qwen/Qwen3-0.6B */
    {"ceede2b04032dff3a3a330a648c03826c7bc77a1ad44e726a8a9d5bcf9aec495",
     "qwen3"}, /* G qwen3-coder:30b */
    {"872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
     "smollm2"}, /* G smollm2:135m */
    {"e8d5b5a546d3f19df16a5320c614fab05bdc4edd50e850f1afd947b503ea41cf",
     "llama2"}, /* G llama2:7b */
    {"b75e17085cfc511ead6d4fab84b86ab3c168ec7a332568a91d0889cdcba94394",
     "llama3"}, /* L Llama-3 */
    {"b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2",
     "llama3"}, /* G dolphin-llama3:8b */
    {"ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122",
     "llama3"}, /* G llama3:8b */
    {"93c0e9aa3629bbd77e68dbc0f5621f6e6b23aa8d74b932595cdb8d64684526d7",
     "llama3.1"}, /* H meta-llama/Llama-3.1-8B-Instruct */
    {"d82792f95932f1c9cef5c4bd992f171225e3bf8c7b609b4557c9e1ec96be819f",
     "llama3.1"}, /* G llama3.2:3b */
    {"26a59556925c987317ce5291811ba3b7f32ec4c647c400c6cc7e3a9993007ba7",
     "mistral"}, /* H mistralai/Mixtral-8x7B-Instruct-v0.1 */
    {"bbc58aad99454df60138be9530c9601a0adfe3d8932cda975e1f10b2410ddc51",
     "mistral-v1"}, /* G mixtral:8x7b */
    {"ac888ea51c72437ddbd57032b819c5d04d76c313147e1f3f2add070493fac49c",
     "mistral-v3"}, /* G mixtral:8x22b */
    {"c7a94f505398612940c13ee95070d0d152bcb7b4afbd74a06ff148a82a02851c",
     "mistral-tekken"}, /* H mistralai/Mistral-Nemo-Instruct-2407 */
    {"66291cf0045c2425a3a667cf3cbb7af2b11f09e025c02f97245323ab79119362",
     "zephyr"}, /* H HuggingFaceH4/zephyr-7b-beta */
    {"ac7498a36a719da630e99d48e6ebc4409de85a77556c2b6159eeb735bcbd11df",
     "tulu"}, /* G tulu3:70b */
};

nn_status guard_chat_of_template(const guard_chat **out, const char *text, size_t len, nn_err *err)
{
    char hex[NN_SHA256_HEX], names[256];

    *out = NULL;
    nn_sha256_hex(text, len > 0 && text[len - 1] == '\n' ? len - 1 : len, hex);
    for (size_t i = 0; i < sizeof known / sizeof *known && !*out; i++)
        if (strcmp(known[i].hash, hex) == 0) *out = guard_chat_find(known[i].family);
    if (*out) return NN_OK;
    return nn_fail(err, NN_CONTENT, "chat template: it is none that we know (SHA-256 %s), want a family by name: %s",
                   hex, guard_chat_names(names, sizeof names));
}
