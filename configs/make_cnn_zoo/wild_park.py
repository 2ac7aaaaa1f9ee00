# SPDX-License-Identifier: Apache-2.0
"""CNN zoos: many architectures, trained on images, stored many times.

python experiments/make_cnn_zoo.py \
  --config=configs/make_cnn_zoo/wild_park.py:<variant> \
  --config.image_dir=<folder of the publishers' files>

| variant                 | images                | shapes | runs   | stored  |
| ----------------------- | --------------------- | ------ | ------ | ------- |
| paper                   | CIFAR-10              | 2,800  | 2,800  | 168,000 |
| paper_later             | CIFAR-10              | 50,000 | 50,000 | 3 mill. |
| cifar10                 | CIFAR-10, a part      | 150    | 300    | 1,500   |
| mnist                   | MNIST, a part         | 150    | 300    | 1,500   |
| fashion_mnist           | Fashion-MNIST, a part | 150    | 300    | 1,500   |
| fashion_mnist_14        | the same, 14 x 14     | 150    | 300    | 1,500   |
| fashion_mnist_one_shape | the same, 14 x 14     | 1      | 150    | 750     |
| digits                  | scikit-learn          | 40     | 80     | 400     |
| digits_one_shape        | scikit-learn          | 1      | 150    | 750     |
| smoke, smoke_one_shape  | scikit-learn          | 4, 1   | 8, 6   | 24, 18  |

fashion_mnist_14 takes about 11 seconds of processor time a run, compilation
included (six runs measured, AMD EPYC, jax 0.10.1), fashion_mnist_one_shape took
13 minutes of one core, whose other core was busy. The others were not timed.
digits and smoke need no files. The zoo of the paper has 117,241 checkpoints of
2,800 CNNs, trained for 200 to 1,000 epochs; how the lengths were chosen is not
published, here they are uniform. paper_later are the choices of its generator
as it was changed later. The variants with one shape (three convolutions of 16
channels, as in CIFAR10-GS, 8 for the digits; ReLU or tanh in each layer, five
learning rates, no residuals) are for models that read nothing else ('nfn').

Interrupted, the same command goes on after the last checkpoint of each run. To
use more cores or machines, start it several times with --num_processes=4 and
--process_index=0, 1, 2, 3.
"""

import ml_collections

from ng_jax.data.cnn_zoo import variants


def get_config(variant: str = 'paper') -> ml_collections.ConfigDict:
  """Returns the settings of a variant, with data_dir, image_dir and name."""
  return ml_collections.ConfigDict(
    {
      **variants.fields(variant),
      'data_dir': 'data',
      'image_dir': '',
      'name': '',
    }
  )
