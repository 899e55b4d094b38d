"""Backpropagation by hand: the derivative of every building block of a transformer, written out and explained.

Training asks one question of every number in a model: if it grew a little, how much would the loss L grow? The answer
for x is written d_x = ∂L/∂x. It has the shape of x, always: one answer for each number asked about.

A block y = f(x) doesn't know the loss. Whatever comes after it hands it d_y, called `upstream` here, and the block owes
d_x to whatever came before. A number x[i] moves the loss only through the outputs that it moves, so (the chain rule)

    d_x[i] = Σⱼ d_y[j] · ∂y[j]/∂x[i]

The table of all ∂y[j]/∂x[i] is the Jacobian. Nobody builds it: for one layer of a small model it has more numbers than
the model has weights. Each file finds the product of upstream and Jacobian by a shorter way, and nearly every way is
made of these moves:

    forward                                    backward
    use a value twice                          add the two gradients that come back
    add many values up                         give each of them the sum's gradient
    multiply by a matrix                       multiply by its transpose
    apply a function to each number            multiply by its slope there
    look rows up                               add into the rows that were looked up
    move numbers about (reshape, transpose)    move them back

Every file holds one block as two pure functions of tensors, of any floating dtype, without autograd:

    y, saved = linear.forward(x, weight, bias)     # saved: what backward will need
    d = linear.backward(saved, d_y)                # d.x, d.weight, d.bias

Read them in this order, the parts before what is made of them:

    linear, embedding                 where the weights are
    activations, gated                what bends, so that layers don't collapse into one
    rms_norm, layer_norm, residual    what lets many layers be stacked
    softmax, cross_entropy            where gradients begin
    rope, attention                   where positions meet
    attention_layer, feed_forward, block    the chain: parts in order, then the same parts in reverse
    check                             how to find out whether a derivative is right, by measuring slopes

A gradient at the bottom of a network is a product of one Jacobian per block above it. Factors that shrink make it
vanish, factors that stretch make it explode, both exponentially in the depth: so each file says what its block does to
the size of gradients. Shapes: the legend is in `groundup.nn`; `…` stands for any leading dimensions.
"""
