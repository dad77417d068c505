"""How much of full fine-tuning does a parameter-efficient method keep on GLUE, and with how many trained parameters?"""
