"""Training in Keras, one epoch and its validation per turn.

    python keras_rnn.py INPUTS THREADS

A SimpleRNN with the constraint as its recurrent regularizer, as in seRNN and its
successors: TensorFlow recomputes the penalty at every step and differentiates
through it.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import tensorflow as tf

from turns import Inputs, take_turns


def communicability(weights):
    absolute = tf.abs(weights)
    root = tf.math.rsqrt(tf.reduce_sum(absolute, axis=1))
    c = tf.linalg.expm(root[:, None] * absolute * root[None, :])
    return tf.linalg.set_diag(c, tf.zeros_like(root))


def penalty(inputs):
    """The recurrent regularizer, or None."""
    strength = inputs.strength
    if inputs.constraint == "none":
        return None
    if inputs.constraint == "l1":
        return lambda w: strength * tf.reduce_sum(tf.abs(w))
    distance = tf.constant(inputs.distance, tf.float32)
    if inputs.constraint == "distance":
        return lambda w: strength * tf.reduce_sum(tf.abs(w) * distance)
    if inputs.constraint == "communicability":
        return lambda w: strength * tf.reduce_sum(tf.abs(w) * distance * communicability(w))
    empirical = tf.constant(inputs.empirical())

    def emd(w):
        c = tf.sort(tf.reshape(communicability(w), [-1]))
        distances = tf.reduce_mean(tf.abs(c - empirical))
        return strength * tf.reduce_sum(tf.abs(w) * distance) + inputs.emd_strength * distances

    return emd


def main():
    inputs, threads = Inputs(sys.argv[1]), int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    keras.utils.set_random_seed(1)

    def build():
        layers = [
            keras.Input(inputs.train.shape[1:]),
            keras.layers.GaussianNoise(inputs.noise),
            keras.layers.SimpleRNN(
                inputs.neurons,
                activation="relu",
                recurrent_initializer=lambda shape, dtype=None: tf.constant(inputs.recurrent, dtype),
                recurrent_regularizer=penalty(inputs),
            ),
            keras.layers.Dense(inputs.classes, activation="softmax"),
        ]
        model = keras.Sequential(layers)
        # jit_compile stays at its default, "auto", as in the published pipeline.
        model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    validation = None
    if len(inputs.validation):
        validation = (inputs.validation, inputs.validation_labels)

    # The start-up of TensorFlow is not part of a training.
    build().fit(inputs.train[: inputs.batch], inputs.train_labels[: inputs.batch], verbose=0)
    model = None

    def epoch():
        # The first epoch of a training builds and traces its model.
        nonlocal model
        model = model or build()
        history = model.fit(
            inputs.train,
            inputs.train_labels,
            validation_data=validation,
            batch_size=inputs.batch,
            shuffle=False,
            epochs=1,
            verbose=0,
        )
        return {"loss": float(history.history["loss"][-1])}

    about = {"peer": f"Keras {keras.__version__}, TensorFlow {tf.__version__}", "threads": threads}
    take_turns(epoch, about)


main()
