def both_turns(generator, critic, adam_g, adam_c, real, z):
    value = (logsigmoid(critic(real)) + logsigmoid(-critic(generator(z)))).mean()
    adam_g.zero_grad()
    adam_c.zero_grad()
    value.backward()
    adam_c.step()
    adam_g.step()
