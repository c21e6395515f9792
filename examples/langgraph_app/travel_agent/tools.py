"""What the agent can do."""

from __future__ import annotations

from langchain_core.tools import tool
from langgraph.types import interrupt

FLIGHTS = {"lisbon": ("TP573", 180), "oslo": ("SK1486", 240)}


@tool
async def find_flight(city: str) -> str:
    """The next flight to a city, and its price in euros."""
    if city.lower() not in FLIGHTS:
        return f"There is no flight to {city}."
    flight, price = FLIGHTS[city.lower()]
    return f"{flight} flies to {city} for {price} euros."


@tool
def book_flight(flight: str) -> str:
    """Book a flight, by its number."""
    answer = interrupt({"question": f"Book {flight}?"})  # pauses here until it is answered
    if answer != "yes":
        return f"The traveller does not want {flight}: {answer}"
    return f"{flight} is booked."


TOOLS = [find_flight, book_flight]
