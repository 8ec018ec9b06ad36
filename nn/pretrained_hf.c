#include "nn/pretrained_impl.h"
nn_status nn_pretrained_read_hf(nn_pretrained *p, nn_err *err)
{
    return nn_fail(err, NN_FILE, "%s: folders are not read yet", p->path);
}
